/* For LD_PRELOAD: calls of the system that fail, in one extension module, and a clock that is set.
 *
 * The module's own calls of the functions below fail where its test says so; those of the interpreter do
 * not.  tests/c tries the same without Python; here it is what Python makes of it. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

static uintptr_t module_begin, module_end;
static _Thread_local int calls, fails_at; /* 0: none */

/* The calls of the code from `begin` to `end` are meant. */
void
interpose_module(uintptr_t begin, uintptr_t end)
{
    module_begin = begin;
    module_end = end;
}

/* From now on the n-th call of this thread fails; 0: none.  Returns how many there were since the last time. */
int
interpose_fail(int n)
{
    int before = calls;
    calls = 0;
    fails_at = n;
    return before;
}

static int
fails(void *caller)
{
    uintptr_t address = (uintptr_t)caller;
    return fails_at && address >= module_begin && address < module_end && ++calls == fails_at;
}

void *
malloc(size_t size)
{
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(count, size);
}

void *
realloc(void *block, size_t size)
{
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(block, size);
}

int
pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (fails(__builtin_return_address(0))) {
        return EAGAIN;
    }
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    }
    return real(thread, attr, start, arg);
}

int
sigaction(int signum, const struct sigaction *restrict action, struct sigaction *restrict before)
{
    static int (*real)(int, const struct sigaction *, struct sigaction *);
    if (fails(__builtin_return_address(0))) {
        errno = EINVAL;
        return -1;
    }
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "sigaction");
    }
    return real(signum, action, before);
}

int
pthread_setspecific(pthread_key_t key, const void *value)
{
    static int (*real)(pthread_key_t, const void *);
    if (fails(__builtin_return_address(0))) {
        return ENOMEM;
    }
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_setspecific");
    }
    return real(key, value);
}

/* ---- the time of day, which jumps by an hour at each look ---- */

static _Atomic int jumps, looks;

void
interpose_jumps(int on)
{
    jumps = on;
}

static time_t
jump(void)
{
    static const time_t hours[] = {0, 1, -1, 24, -24};
    return jumps ? 3600 * hours[++looks % 5] : 0;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    }
    int status = real(clock, now);
    if (clock == CLOCK_REALTIME) {
        now->tv_sec += jump();
    }
    return status;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    int status = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return status;
}

time_t
time(time_t *result)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (result) {
        *result = now.tv_sec;
    }
    return now.tv_sec;
}
