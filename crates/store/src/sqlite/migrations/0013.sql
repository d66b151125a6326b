-- Which application may call in the name of which other.
CREATE TABLE app_grant (
    owner INTEGER NOT NULL,
    app INTEGER NOT NULL,               -- who may
    PRIMARY KEY (owner, app)
) STRICT, WITHOUT ROWID;
CREATE INDEX app_grant_app ON app_grant (app);
