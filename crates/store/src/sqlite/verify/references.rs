//! Rows that name another row: it must be there, and be the right one.

use rusqlite::Connection;

use super::{Findings, Invariant};

static APP: Invariant = Invariant {
    name: "application-of-row",
    promise: "the application that a row names was made",
};
static LIVE_APP: Invariant = Invariant {
    name: "nothing-of-removed-application",
    promise: "tokens, subscriptions, products and grants end with their application",
};
static DEVICE: Invariant = Invariant {
    name: "device-of-row",
    promise: "the device that a row names was registered",
};
static OWN_DEVICE: Invariant = Invariant {
    name: "device-of-application",
    promise: "a command, a cancel task and a change in a feed are of a device of their own application",
};
static GATEWAY: Invariant = Invariant {
    name: "gateway-of-device",
    promise: "the gateway of a device is another one of its application that is there",
};
static REGISTRATION: Invariant = Invariant {
    name: "registration-of-device",
    promise: "a registration is of a device that is there",
};
static FOUND_BY: Invariant = Invariant {
    name: "device-found-by",
    promise: "what a device is found by is what was said of it",
};
static SIGNING_KEY: Invariant = Invariant {
    name: "newest-signing-key",
    promise: "one signing key of an application has no end at the most",
};
static CERTIFICATE: Invariant = Invariant {
    name: "certificate-with-key",
    promise: "a client certificate has its key",
};
static TASK: Invariant = Invariant {
    name: "task-of-subtask",
    promise: "a sub-task has its batch task",
};
static GRANT: Invariant = Invariant {
    name: "grant-of-another",
    promise: "a grant is to another application",
};

pub(super) const ALL: &[&Invariant] = &[
    &APP,
    &LIVE_APP,
    &DEVICE,
    &OWN_DEVICE,
    &GATEWAY,
    &REGISTRATION,
    &FOUND_BY,
    &SIGNING_KEY,
    &CERTIFICATE,
    &TASK,
    &GRANT,
];

/// Tables with the column that names an application.
const OF_APP: &[(&str, &str)] = &[
    ("tally", "app"),
    ("token", "app"),
    ("device", "app"),
    ("command", "app"),
    ("work", "app"),
    ("receiver", "app"),
    ("push", "app"),
    ("subscription", "app"),
    ("signing_key", "app"),
    ("push_tls", "app"),
    ("feed", "app"),
    ("feed_begin", "app"),
    ("product", "app"),
    ("request_key", "app"),
    ("command_count", "app"),
    ("cancel_task", "app"),
    ("batch_task", "app"),
    ("device_group", "app"),
    ("app_grant", "owner"),
    ("app_grant", "app"),
];

/// Of these, what goes when the application does.
const OF_LIVE_APP: &[(&str, &str)] = &[
    ("token", "app"),
    ("subscription", "app"),
    ("product", "app"),
    ("app_grant", "owner"),
    ("app_grant", "app"),
];

const OF_DEVICE: &[&str] = &[
    "command",
    "work",
    "of_device",
    "queued",
    "feed",
    "registration",
    "device_data",
    "cancel_task",
    "group_member",
    "shadow",
    "desired_change",
    "shadow_left",
];

const OTHERS: &[(&Invariant, &str)] = &[
    (
        &OWN_DEVICE,
        "SELECT lower(hex(c.id)) FROM command c JOIN device d ON d.key = c.device WHERE d.app <> c.app \
         UNION ALL SELECT t.id FROM cancel_task t JOIN device d ON d.key = t.device WHERE d.app <> t.app \
         UNION ALL SELECT 'feed ' || f.n FROM feed f JOIN device d ON d.key = f.device WHERE d.app <> f.app",
    ),
    (
        &GATEWAY,
        "SELECT d.id FROM device d LEFT JOIN device g ON g.key = d.gateway \
         WHERE d.gateway IS NOT NULL AND d.removed_at IS NULL \
         AND (g.key IS NULL OR g.key = d.key OR g.app <> d.app OR g.removed_at IS NOT NULL)",
    ),
    (
        &REGISTRATION,
        "SELECT coalesce(d.id, 'device ' || r.device) FROM registration r LEFT JOIN device d ON d.key = r.device \
         WHERE d.removed_at IS NOT NULL",
    ),
    (
        &FOUND_BY,
        "SELECT id FROM device WHERE name IS NOT iif(json_valid(info), info ->> '$.name', NULL) \
         OR location IS NOT iif(json_valid(info), info ->> '$.location', NULL) \
         OR device_type IS NOT iif(json_valid(info), info ->> '$.deviceType', NULL)",
    ),
    (
        &SIGNING_KEY,
        "SELECT a.id FROM signing_key k JOIN app a ON a.key = k.app WHERE k.ends_at IS NULL \
         GROUP BY k.app HAVING count(*) > 1",
    ),
    (
        &CERTIFICATE,
        "SELECT 'app ' || app FROM push_tls WHERE (certificate IS NULL) <> (sealed_key IS NULL)",
    ),
    (
        &TASK,
        "SELECT 'task ' || task || ' number ' || n FROM batch_subtask s \
         WHERE NOT EXISTS (SELECT 1 FROM batch_task t WHERE t.key = s.task)",
    ),
    (&GRANT, "SELECT 'app ' || app FROM app_grant WHERE owner = app"),
];

pub(super) fn look(sql: &Connection, found: &mut Findings) {
    for (table, column) in OF_APP {
        let query = missing(table, column, "SELECT key FROM app");
        let looked = found.run(sql, &APP, &query);
        found.unreadable(&APP, looked);
    }
    for (table, column) in OF_LIVE_APP {
        let query = format!(
            "SELECT '{table} of ' || a.id FROM {table} t JOIN app a ON a.key = t.{column} \
             WHERE a.removed_at IS NOT NULL"
        );
        let looked = found.run(sql, &LIVE_APP, &query);
        found.unreadable(&LIVE_APP, looked);
    }
    for table in OF_DEVICE {
        let query = missing(table, "device", "SELECT key FROM device");
        let looked = found.run(sql, &DEVICE, &query);
        found.unreadable(&DEVICE, looked);
    }
    for (invariant, query) in OTHERS {
        let looked = found.run(sql, invariant, query);
        found.unreadable(invariant, looked);
    }
}

/// What a table names that is not there, each once.
fn missing(table: &str, column: &str, there: &str) -> String {
    format!("SELECT DISTINCT '{table}.{column} ' || {column} FROM {table} WHERE {column} NOT IN ({there})")
}
