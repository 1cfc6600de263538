/* Stands between plaudit and its disk, for tests: preloaded, it writes down in order what goes to the
 * write-ahead log (W), each sync of it (S) and each good answer to a client (A), and fails on demand.
 *
 * SHIM_LOG   the file to write down to
 * SHIM_FULL  while this file exists, the disk is full
 * SHIM_DEAF  while this file exists, the disk does not sync
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void note(char what) {
    int saved = errno;
    const char *path = getenv("SHIM_LOG");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        (void)!syscall(SYS_write, fd, &what, 1);
        syscall(SYS_close, fd);
    }
    errno = saved;
}

/* 'd' the database, 'w' its write-ahead log, 'i' the index of the log, 0 anything else */
static char kind(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (length > 4 && !strcmp(path + length - 4, "-wal")) return 'w';
    if (length > 4 && !strcmp(path + length - 4, "-shm")) return 'i';
    if (length > 3 && !strcmp(path + length - 3, ".db")) return 'd';
    return 0;
}

static int asked(const char *variable) {
    int saved = errno;
    const char *path = getenv(variable);
    int there = path && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
    errno = saved;
    return there;
}

/* Whether a write may go on. */
static int admit(int fd, const void *bytes, size_t size) {
    char to = kind(fd);
    if (to) {
        if (asked("SHIM_FULL")) {
            errno = ENOSPC;
            return 0;
        }
        if (to == 'w') note('W');
    } else if (size >= 10 && !memcmp(bytes, "HTTP/1.1 2", 10)) {
        note('A');
    }
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t size) {
    return admit(fd, bytes, size) ? syscall(SYS_write, fd, bytes, size) : -1;
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    return admit(fd, bytes, size) ? syscall(SYS_pwrite64, fd, bytes, size, at) : -1;
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    return admit(fd, bytes, size) ? syscall(SYS_pwrite64, fd, bytes, size, at) : -1;
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    int go = count < 1 || admit(fd, parts[0].iov_base, parts[0].iov_len);
    return go ? syscall(SYS_writev, fd, parts, count) : -1;
}
ssize_t send(int fd, const void *bytes, size_t size, int flags) {
    return admit(fd, bytes, size) ? syscall(SYS_sendto, fd, bytes, size, flags, NULL, 0) : -1;
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (message->msg_iovlen > 0) admit(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return syscall(SYS_sendmsg, fd, message, flags);
}

static int synced(int fd, long call) {
    char what = kind(fd);
    if (what && asked("SHIM_DEAF")) {
        errno = EIO;
        return -1;
    }
    int done = (int)syscall(call, fd);
    if (done == 0 && what == 'w') note('S');
    return done;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }
