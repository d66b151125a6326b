/* An LwM2M device on libcoap, over DTLS with a pre-shared key: a client that nobody of this server wrote.

   psk_device PORT IDENTITY KEY: opens a session to 127.0.0.1:PORT, registers at /rd, and serves on that session what the
   server asks: the observation of 19/0/0 and writes to 19/1/0. A write is acknowledged, and its result reported by a
   notification. Lines on stdout say what happened; lines on stdin are orders: "update" renews the registration, "move"
   opens another session from another port, leaves the one before and registers anew, "end" ends. */

#include <coap3/coap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 16
#define TEXT 1024

static coap_context_t *context;
static coap_session_t *session;
static coap_resource_t *reports;
static const char *identity, *secret;
static int port;
static char location[64];
/* Results that wait for their notification, oldest first; one is being told. */
static char results[MOST][TEXT];
static int waiting, telling;

static void say(const char *what, const char *more)
{
    printf("%s %s\n", what, more);
    fflush(stdout);
}

static void add(coap_optlist_t **list, uint16_t number, const char *text)
{
    coap_insert_optlist(list, coap_new_optlist(number, strlen(text), (const uint8_t *)text));
}

static void ask(coap_optlist_t *options)
{
    uint8_t token[8];
    size_t length;
    coap_pdu_t *request = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_POST, session);
    if (!request)
        abort();
    coap_session_new_token(session, &length, token);
    coap_add_token(request, length, token);
    coap_add_optlist_pdu(request, &options);
    coap_delete_optlist(options);
    if (coap_send(session, request) == COAP_INVALID_MID)
        say("unsent", "");
}

static void register_anew(void)
{
    coap_optlist_t *options = NULL;
    char endpoint[300];
    snprintf(endpoint, sizeof endpoint, "ep=%s", identity);
    add(&options, COAP_OPTION_URI_PATH, "rd");
    add(&options, COAP_OPTION_URI_QUERY, endpoint);
    add(&options, COAP_OPTION_URI_QUERY, "lwm2m=1.0");
    add(&options, COAP_OPTION_URI_QUERY, "lt=300");
    add(&options, COAP_OPTION_URI_QUERY, "b=U");
    location[0] = 0;
    ask(options);
}

static void update(void)
{
    coap_optlist_t *options = NULL;
    add(&options, COAP_OPTION_URI_PATH, "rd");
    add(&options, COAP_OPTION_URI_PATH, location);
    ask(options);
}

/* A session from a port that the system chooses. */
static void open_session(void)
{
    coap_address_t server;
    coap_dtls_cpsk_t setup;
    memset(&setup, 0, sizeof setup);
    setup.version = COAP_DTLS_CPSK_SETUP_VERSION;
    setup.psk_info.identity.s = (const uint8_t *)identity;
    setup.psk_info.identity.length = strlen(identity);
    setup.psk_info.key.s = (const uint8_t *)secret;
    setup.psk_info.key.length = strlen(secret);
    coap_address_init(&server);
    server.size = sizeof server.addr.sin;
    server.addr.sin.sin_family = AF_INET;
    server.addr.sin.sin_port = htons(port);
    server.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    session = coap_new_client_session_psk2(context, NULL, &server, COAP_PROTO_DTLS, &setup);
    if (!session)
        abort();
}

static coap_response_t answered(coap_session_t *from, const coap_pdu_t *sent, const coap_pdu_t *received, const coap_mid_t mid)
{
    coap_opt_iterator_t options;
    coap_opt_t *option;
    char code[16];
    (void)from, (void)sent, (void)mid;
    snprintf(code, sizeof code, "%d.%02d", coap_pdu_get_code(received) >> 5, coap_pdu_get_code(received) & 31);
    coap_option_iterator_init(received, &options, COAP_OPT_ALL);
    while ((option = coap_option_next(&options)))
        if (options.number == COAP_OPTION_LOCATION_PATH)
            snprintf(location, sizeof location, "%.*s", (int)coap_opt_length(option), (const char *)coap_opt_value(option));
    say("answered", code);
    return COAP_RESPONSE_OK;
}

/* 19/0/0: the answer to the observation is a dummy; every notification is a result. */
static void read_reports(coap_resource_t *resource, coap_session_t *by, const coap_pdu_t *request, const coap_string_t *query,
                         coap_pdu_t *response)
{
    static char told[TEXT];
    size_t length = 1;
    told[0] = 0;
    if (telling && waiting) {
        length = strlen(results[0]);
        memcpy(told, results[0], length);
        memmove(results[0], results[1], sizeof results - sizeof results[0]);
        waiting--;
        telling = 0;
    } else {
        say("observed", "");
    }
    coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
    coap_add_data_large_response(resource, by, request, response, query, COAP_MEDIATYPE_APPLICATION_OCTET_STREAM, -1, 0, length,
                                 (const uint8_t *)told, NULL, NULL);
}

/* 19/1/0: a command. Only what comes over the session that is open now is the server's word. */
static void write_command(coap_resource_t *resource, coap_session_t *by, const coap_pdu_t *request, const coap_string_t *query,
                          coap_pdu_t *response)
{
    char command[TEXT];
    size_t length;
    const uint8_t *data;
    const char *mid;
    (void)resource, (void)query;
    if (by != session || !coap_get_data(request, &length, &data) || length >= sizeof command || waiting == MOST) {
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_BAD_REQUEST);
        return;
    }
    memcpy(command, data, length);
    command[length] = 0;
    say("command", command);
    mid = strstr(command, "\"mid\":");
    if (mid)
        snprintf(results[waiting++], TEXT, "{\"msgType\":\"deviceRsp\",\"mid\":%lu,\"errcode\":0,\"body\":{\"by\":\"libcoap\"}}",
                 strtoul(mid + strlen("\"mid\":"), NULL, 10));
    coap_pdu_set_code(response, COAP_RESPONSE_CODE_CHANGED);
}

static void serve(void)
{
    coap_resource_t *commands = coap_resource_init(coap_make_str_const("19/1/0"), 0);
    reports = coap_resource_init(coap_make_str_const("19/0/0"), COAP_RESOURCE_FLAGS_NOTIFY_CON);
    coap_register_request_handler(commands, COAP_REQUEST_PUT, write_command);
    coap_register_request_handler(reports, COAP_REQUEST_GET, read_reports);
    coap_resource_set_get_observable(reports, 1);
    coap_add_resource(context, commands);
    coap_add_resource(context, reports);
}

/* An order, if there is one; 0 at the end. */
static int obey(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[64];
    if (poll(&input, 1, 0) <= 0)
        return 1;
    if (!fgets(line, sizeof line, stdin) || strcmp(line, "end\n") == 0)
        return 0;
    if (strcmp(line, "update\n") == 0)
        update();
    if (strcmp(line, "move\n") == 0) {
        coap_session_t *before = session;
        open_session();
        coap_session_release(before);
        register_anew();
    }
    return 1;
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    port = atoi(arguments[1]), identity = arguments[2], secret = arguments[3];
    setvbuf(stdin, NULL, _IONBF, 0);
    coap_startup();
    coap_set_log_level(LOG_ERR);
    coap_dtls_set_log_level(LOG_ERR);
    context = coap_new_context(NULL);
    if (!context)
        return 1;
    coap_register_response_handler(context, answered);
    serve();
    open_session();
    register_anew();
    while (obey()) {
        if (waiting && !telling) {
            telling = 1;
            coap_resource_notify_observers(reports, NULL);
        }
        coap_io_process(context, 20);
    }
    coap_free_context(context);
    coap_cleanup();
    return 0;
}
