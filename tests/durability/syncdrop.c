/*
 * syncdrop: what would a power loss leave?
 *
 * A library for LD_PRELOAD. It watches every change to files below $SYNCDROP_DIR and keeps, in $SYNCDROP_SIDE, an undo
 * journal: before a write the bytes it covers, before a change of length the old length, before a name is replaced or
 * removed a second link to its file; and a mark for every sync that succeeded. After the process was killed,
 * syncdrop.py takes back what no sync covers. The kernel alone may keep unsynced data for as long as it likes, so this
 * is the worst a power loss may do, and what a plain SIGKILL never shows.
 *
 * If the file $SYNCDROP_SIDE/trigger exists, the process is killed at the next sync of a watched file, before the sync
 * is done. The trigger is removed, so that a restarted process lives. $SYNCDROP_SLOW_MS makes every sync of a file take
 * that much longer, as on a slow disk.
 *
 * The order of the journal is the order of the changes: one lock is held over the record and the change. A sync covers
 * the changes recorded before it began. Names (creation, rename, removal) are made durable by a sync of their
 * directory only, as POSIX has it. SQLite's -shm files are left out: they are rebuilt, and are to be deleted.
 *
 * Both side directory and watched directory must be on one file system (second links are made). Changes through
 * mmap, io_uring or O_DIRECT are not seen; copy_file_range and sendfile into a watched file fail with EXDEV/EINVAL, on
 * which callers fall back to writes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* One record: this head, then `path_len` bytes of path, then `data_len` bytes. Read by syncdrop.py. */
struct record {
    uint32_t magic;
    uint8_t kind;
    uint8_t is_dir;
    uint16_t path_len;
    uint64_t inode;
    uint64_t offset;     /* WRITE: where. LENGTH: where the bytes that are cut off began. SYNC: when it began. */
    uint64_t old_length; /* WRITE, LENGTH: length of the file before. */
    uint64_t at_ns;      /* monotonic clock */
    uint32_t data_len;
    uint32_t number; /* of this record, from 0 */
};
enum kind { WRITE = 1, LENGTH = 2, SYNC = 3, CREATE = 4, UNLINK = 5, RENAME = 6 };
#define MAGIC 0x53594e43u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char watched[PATH_MAX], side[PATH_MAX];
static size_t watched_len;
static int journal = -1;
static uint32_t records, backups;
static int on, slow_ms;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off64_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_fallocate)(int, int, off64_t, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_openat)(int, const char *, int, ...);

static void broken(const char *what)
{
    dprintf(2, "syncdrop: %s: %s\n", what, strerror(errno));
    _exit(97);
}

static void *next_symbol(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        broken(name);
    return found;
}

/* Also called by whatever comes first: other libraries may open files before our constructor runs. */
__attribute__((constructor)) static void start(void)
{
    if (real_openat)
        return;
    real_write = next_symbol("write");
    real_pwrite = next_symbol("pwrite64");
    real_writev = next_symbol("writev");
    real_pwritev = next_symbol("pwritev64");
    real_ftruncate = next_symbol("ftruncate64");
    real_fallocate = next_symbol("fallocate64");
    real_fsync = next_symbol("fsync");
    real_fdatasync = next_symbol("fdatasync");
    real_unlinkat = next_symbol("unlinkat");
    real_openat = next_symbol("openat64");

    const char *dir = getenv("SYNCDROP_DIR"), *to = getenv("SYNCDROP_SIDE");
    if (!dir || !to)
        return;
    if (!realpath(dir, watched) || !realpath(to, side))
        broken("SYNCDROP_DIR and SYNCDROP_SIDE must exist");
    watched_len = strlen(watched);
    slow_ms = getenv("SYNCDROP_SLOW_MS") ? atoi(getenv("SYNCDROP_SLOW_MS")) : 0;
    char name[PATH_MAX + 32];
    snprintf(name, sizeof name, "%s/journal.%d", side, getpid());
    journal = real_openat(AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0)
        broken("journal");
    on = 1;
}

static int below(const char *path)
{
    if (strncmp(path, watched, watched_len) || (path[watched_len] != '/' && path[watched_len]))
        return 0;
    size_t len = strlen(path);
    return !(len > 4 && !strcmp(path + len - 4, "-shm"));
}

/* The path of an open file if it is watched. */
static int watched_fd(int fd, struct stat *st, char *path)
{
    start();
    if (!on || fd == journal)
        return 0;
    int saved = errno, yes = 0;
    char link[64];
    if (!fstat(fd, st) && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, PATH_MAX - 1);
        if (n > 0) {
            path[n] = 0;
            yes = below(path);
        }
    }
    errno = saved;
    return yes;
}

/* The absolute path of a name, without following its last part. */
static int watched_name(int at, const char *name, char *path)
{
    start();
    if (!on || !name)
        return 0;
    int saved = errno, yes = 0;
    char dir[PATH_MAX], joined[2 * PATH_MAX], link[64];
    if (name[0] == '/') {
        snprintf(joined, sizeof joined, "%s", name);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t n = at == AT_FDCWD ? (getcwd(dir, sizeof dir) ? (ssize_t)strlen(dir) : -1)
                                   : readlink(link, dir, sizeof dir - 1);
        if (n < 0)
            goto out;
        dir[n] = 0;
        snprintf(joined, sizeof joined, "%s/%s", dir, name);
    }
    char *slash = strrchr(joined, '/');
    char base[PATH_MAX];
    snprintf(base, sizeof base, "%s", slash + 1);
    *slash = 0;
    char parent[PATH_MAX];
    if (realpath(joined[0] ? joined : "/", parent)
        && (size_t)snprintf(path, PATH_MAX, "%s/%s", parent, base) < PATH_MAX)
        yes = below(path);
out:
    errno = saved;
    return yes;
}

static void put(const void *data, size_t len)
{
    const char *from = data;
    while (len) {
        ssize_t n = syscall(SYS_write, journal, from, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            broken("write of the journal");
        from += n;
        len -= (size_t)n;
    }
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One record, in one write so that readers see it whole. `lock` is held. */
static void note(enum kind kind, int is_dir, const char *path, uint64_t inode, uint64_t offset, uint64_t old_length,
                 const void *data, size_t data_len)
{
    int saved = errno;
    size_t path_len = strlen(path);
    struct record head = {
        .magic = MAGIC,
        .kind = (uint8_t)kind,
        .is_dir = (uint8_t)is_dir,
        .path_len = (uint16_t)path_len,
        .inode = inode,
        .offset = offset,
        .old_length = old_length,
        .at_ns = now_ns(),
        .data_len = (uint32_t)data_len,
        .number = records++,
    };
    char *whole = malloc(sizeof head + path_len + data_len);
    if (!whole)
        broken("memory");
    memcpy(whole, &head, sizeof head);
    memcpy(whole + sizeof head, path, path_len);
    if (data_len)
        memcpy(whole + sizeof head + path_len, data, data_len);
    put(whole, sizeof head + path_len + data_len);
    free(whole);
    errno = saved;
}

/*
 * Reads old bytes although the descriptor may be write-only. The second descriptor this takes is kept: closing it
 * would drop the POSIX locks that SQLite holds on the file.
 */
static void read_old(int fd, const struct stat *st, char *to, uint64_t offset, size_t len)
{
    static struct { ino_t inode; int fd; } readers[64];
    static int used;
    int in = fd;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        in = -1;
        for (int i = 0; i < used; i++)
            if (readers[i].inode == st->st_ino)
                in = readers[i].fd;
        if (in < 0) {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            in = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
            if (in < 0 || used == 64)
                broken("open of old bytes");
            readers[used].inode = st->st_ino;
            readers[used++].fd = in;
        }
    }
    while (len) {
        ssize_t n = syscall(SYS_pread64, in, to, len, (off64_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            broken("read of old bytes");
        to += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
}

/* The old bytes of [offset, offset + len) as far as the file has them, and its length. `lock` is held. */
static void note_old(enum kind kind, int fd, const char *path, uint64_t offset, uint64_t len)
{
    struct stat st;
    int saved = errno;
    if (fstat(fd, &st))
        broken("fstat");
    uint64_t length = (uint64_t)st.st_size;
    uint64_t there = offset >= length ? 0 : (length - offset < len ? length - offset : len);
    char *old = malloc(there ? there : 1);
    if (!old)
        broken("memory");
    if (there)
        read_old(fd, &st, old, offset, there);
    note(kind, 0, path, st.st_ino, offset, length, old, there);
    free(old);
    errno = saved;
}

static uint64_t write_offset(int fd)
{
    struct stat st;
    if (fcntl(fd, F_GETFL) & O_APPEND)
        return fstat(fd, &st) ? 0 : (uint64_t)st.st_size;
    off64_t at = lseek64(fd, 0, SEEK_CUR);
    return at < 0 ? 0 : (uint64_t)at;
}

static size_t total(const struct iovec *parts, int count)
{
    size_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += parts[i].iov_len;
    return sum;
}

/* A change of a file's bytes: the record first, then the change, under one lock. */
#define WATCHED_CHANGE(type, fd, kind, at, len, call)                                                                  \
    do {                                                                                                               \
        struct stat st_;                                                                                               \
        char path_[PATH_MAX];                                                                                          \
        if (!watched_fd(fd, &st_, path_))                                                                              \
            return call;                                                                                               \
        pthread_mutex_lock(&lock);                                                                                     \
        note_old(kind, fd, path_, at, len);                                                                            \
        type done_ = call;                                                                                             \
        pthread_mutex_unlock(&lock);                                                                                   \
        return done_;                                                                                                  \
    } while (0)

ssize_t write(int fd, const void *data, size_t len)
{
    WATCHED_CHANGE(ssize_t, fd, WRITE, write_offset(fd), len, real_write(fd, data, len));
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    WATCHED_CHANGE(ssize_t, fd, WRITE, (uint64_t)at, len, real_pwrite(fd, data, len, at));
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    WATCHED_CHANGE(ssize_t, fd, WRITE, write_offset(fd), total(parts, count), real_writev(fd, parts, count));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    WATCHED_CHANGE(ssize_t, fd, WRITE, (uint64_t)at, total(parts, count), real_pwritev(fd, parts, count, at));
}

int ftruncate64(int fd, off64_t length)
{
    WATCHED_CHANGE(int, fd, LENGTH, (uint64_t)length, UINT64_MAX, real_ftruncate(fd, length));
}

/* Growing only: no bytes change. Holes are never punched. */
int fallocate64(int fd, int mode, off64_t at, off64_t len)
{
    struct stat st;
    char path[PATH_MAX];
    if (mode && watched_fd(fd, &st, path)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    WATCHED_CHANGE(int, fd, LENGTH, UINT64_MAX, 0, real_fallocate(fd, mode, at, len));
}

int posix_fallocate64(int fd, off64_t at, off64_t len)
{
    int saved = errno, result = fallocate64(fd, 0, at, len) ? errno : 0;
    errno = saved;
    return result;
}

/* Not undone byte by byte: callers fall back to read and write. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t len, unsigned flags)
{
    struct stat st;
    char path[PATH_MAX];
    if (watched_fd(out, &st, path)) {
        errno = EXDEV;
        return -1;
    }
    return syscall(SYS_copy_file_range, in, in_at, out, out_at, len, flags);
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t len)
{
    struct stat st;
    char path[PATH_MAX];
    if (watched_fd(out, &st, path)) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_sendfile, out, in, at, len);
}

static void die_if_triggered(void)
{
    char trigger[PATH_MAX + 16];
    snprintf(trigger, sizeof trigger, "%s/trigger", side);
    int saved = errno;
    if (!access(trigger, F_OK)) {
        real_unlinkat(AT_FDCWD, trigger, 0);
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
    errno = saved;
}

static int synced(int fd, int (*real)(int))
{
    struct stat st;
    char path[PATH_MAX];
    if (!watched_fd(fd, &st, path))
        return real(fd);
    pthread_mutex_lock(&lock);
    die_if_triggered();
    uint64_t began = now_ns();
    pthread_mutex_unlock(&lock);
    if (S_ISREG(st.st_mode))
        usleep((useconds_t)slow_ms * 1000);
    int result = real(fd);
    if (!result) {
        pthread_mutex_lock(&lock);
        note(SYNC, S_ISDIR(st.st_mode), path, st.st_ino, began, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return result;
}

int fsync(int fd) { return synced(fd, real_fsync); }

int fdatasync(int fd) { return synced(fd, real_fdatasync); }

/* A second link to a file that is about to lose its name: keeps bytes and inode. Gives its path. */
static void keep(const char *path, char *backup)
{
    snprintf(backup, PATH_MAX + 64, "%s/kept.%d.%u", side, getpid(), backups++);
    if (linkat(AT_FDCWD, path, AT_FDCWD, backup, 0))
        broken("link of a file about to be replaced");
}

int unlinkat(int at, const char *name, int flags)
{
    char path[PATH_MAX], backup[PATH_MAX + 64];
    struct stat st;
    if (!watched_name(at, name, path) || flags || lstat(path, &st) || !S_ISREG(st.st_mode))
        return real_unlinkat(at, name, flags);
    pthread_mutex_lock(&lock);
    keep(path, backup);
    note(UNLINK, 0, path, st.st_ino, 0, 0, backup, strlen(backup));
    int result = real_unlinkat(at, name, flags);
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }

static int renamed(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    char from_path[PATH_MAX], to_path[PATH_MAX], data[2 * PATH_MAX + 128] = "";
    struct stat st, replaced;
    int yes = watched_name(to_at, to, to_path);
    yes = watched_name(from_at, from, from_path) || yes;
    if (!yes || lstat(from_path, &st) || !S_ISREG(st.st_mode))
        return (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    size_t len = strlen(to_path) + 1;
    memcpy(data, to_path, len);
    if (!flags && !lstat(to_path, &replaced) && S_ISREG(replaced.st_mode) && replaced.st_ino != st.st_ino)
        keep(to_path, data + len);
    note(RENAME, 0, from_path, st.st_ino, 0, 0, data, len + strlen(data + len));
    int result = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }

int renameat(int from_at, const char *from, int to_at, const char *to) { return renamed(from_at, from, to_at, to, 0); }

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    return renamed(from_at, from, to_at, to, flags);
}

/* Creation is a name of its own; truncation on open is a change of length like any other. */
static int opened(int at, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    struct stat st;
    start();
    if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE || !watched_name(at, name, path))
        return real_openat(at, name, flags, mode);
    pthread_mutex_lock(&lock);
    int was_there = !fstatat(at, name, &st, 0);
    int fd = real_openat(at, name, flags & ~O_TRUNC, mode);
    if (fd >= 0 && !was_there && !fstat(fd, &st))
        note(CREATE, 0, path, st.st_ino, 0, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    if (fd >= 0 && was_there && (flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY && S_ISREG(st.st_mode))
        ftruncate64(fd, 0);
    return fd;
}

#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

int open64(const char *name, int flags, ...)
{
    MODE(flags)
    return opened(AT_FDCWD, name, flags, mode);
}

int openat64(int at, const char *name, int flags, ...)
{
    MODE(flags)
    return opened(at, name, flags, mode);
}

int creat64(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* off_t has 64 bits wherever this is built: the short names are the long ones. */
#define SAME(type, name, same, ...) type name(__VA_ARGS__) __attribute__((alias(#same)))
SAME(ssize_t, pwrite, pwrite64, int, const void *, size_t, off_t);
SAME(ssize_t, pwritev, pwritev64, int, const struct iovec *, int, off_t);
SAME(int, ftruncate, ftruncate64, int, off_t);
SAME(int, fallocate, fallocate64, int, int, off_t, off_t);
SAME(int, posix_fallocate, posix_fallocate64, int, off_t, off_t);
SAME(ssize_t, sendfile, sendfile64, int, int, off_t *, size_t);
SAME(int, creat, creat64, const char *, mode_t);
SAME(int, open, open64, const char *, int, ...);
SAME(int, openat, openat64, int, const char *, int, ...);
_Static_assert(sizeof(off_t) == sizeof(off64_t), "a 64-bit system");
