/* A preload library: names that end in ".rebind.test" are looked up in a file, so that a test decides what a process is
   answered, look-up by look-up, without a resolver of its own.

   REBIND_FILE names a file of lines "name address". Of a name the first line is the first answer, the second the
   second, and so on; the last one holds for all further look-ups. Each look-up appends a line "name address" to
   REBIND_LOG. All other names go to the real getaddrinfo. Connects are noted too, as lines "connect address port", those
   that fail as well: so a test sees what was dialled, not only what was reached. What is dialled at REBIND_PUBLIC, an IPv4
   address, reaches 127.0.0.1 instead: a public address that is always there, and nothing leaves this machine. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUFFIX ".rebind.test"
#define MOST_NAMES 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char seen_names[MOST_NAMES][128];
static int seen_times[MOST_NAMES];

static void note(const char *line)
{
    const char *path = getenv("REBIND_LOG");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (file < 0)
        return;
    if (write(file, line, strlen(line)) < 0)
        abort();
    close(file);
}

/* How often this name was looked up before. */
static int times_before(const char *name)
{
    for (int i = 0; i < MOST_NAMES; i++) {
        if (seen_names[i][0] == 0)
            snprintf(seen_names[i], sizeof seen_names[i], "%s", name);
        if (strcmp(seen_names[i], name) == 0)
            return seen_times[i]++;
    }
    abort();
}

/* Look-up number `n` of a name. Whether there is one. */
static int answer(const char *name, int n, char address[128])
{
    FILE *file = fopen(getenv("REBIND_FILE"), "re");
    char line[300], known[128], text[128];
    int found = 0;
    if (!file)
        abort();
    while (found <= n && fgets(line, sizeof line, file))
        if (sscanf(line, "%127s %127s", known, text) == 2 && strcmp(known, name) == 0) {
            strcpy(address, text);
            found++;
        }
    fclose(file);
    return found > 0;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    char address[128], line[300];
    size_t length = name ? strlen(name) : 0;
    int known;

    if (!real)
        real = (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    if (length < strlen(SUFFIX) || strcmp(name + length - strlen(SUFFIX), SUFFIX) != 0)
        return real(name, service, hints, result);
    pthread_mutex_lock(&lock);
    known = answer(name, times_before(name), address);
    if (known) {
        snprintf(line, sizeof line, "%s %s\n", name, address);
        note(line);
    }
    pthread_mutex_unlock(&lock);
    return known ? real(address, service, hints, result) : EAI_NONAME;
}

int connect(int file, const struct sockaddr *to, socklen_t length)
{
    static int (*real)(int, const struct sockaddr *, socklen_t);
    char host[INET6_ADDRSTRLEN] = "", line[300];
    const char *elsewhere = getenv("REBIND_PUBLIC");
    struct sockaddr_in here;
    int port = 0;

    if (!real)
        real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    if (to->sa_family == AF_INET) {
        here = *(const struct sockaddr_in *)to;
        inet_ntop(AF_INET, &here.sin_addr, host, sizeof host);
        port = ntohs(here.sin_port);
    } else if (to->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)to;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        port = ntohs(six->sin6_port);
    }
    if (port) {
        snprintf(line, sizeof line, "connect %s %d\n", host, port);
        note(line);
    }
    if (elsewhere && strcmp(host, elsewhere) == 0) {
        here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return real(file, (const struct sockaddr *)&here, sizeof here);
    }
    return real(file, to, length);
}
