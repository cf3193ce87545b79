/* Helpers for the tests that fork.  The child of each has one thread, checks what it finds, and says so by its exit
 * status. */

#ifndef FL_TESTS_FORK_HELPERS_H
#define FL_TESTS_FORK_HELPERS_H

#include <errno.h>
#include <sys/wait.h>

#include "check.h"
#include "fake_blocker.h"
#include "lot_helpers.h"

/* ThreadSanitizer's detector of deadlocks knows 64 mutexes that are held at a time, and a fork holds all of them. */
const char *__tsan_default_options(void);
const char *
__tsan_default_options(void)
{
    return "detect_deadlocks=0:die_after_fork=0";
}

enum { KEYS = 4096 };

static char keys[KEYS];

static inline void
await_success(pid_t pid)
{
    int status;
    pid_t ended;
    do {
        ended = waitpid(pid, &status, 0);
    } while (ended < 0 && errno == EINTR);
    CHECK_EQUAL(ended, pid);
    CHECK(WIFEXITED(status));
    CHECK_EQUAL(WEXITSTATUS(status), 0);
}

/* Forks; the child runs `body(arg)` and ends, and has to succeed. */
static inline void
in_child(void (*body)(void *), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(TEST_LIMIT_S / 2);
        body(arg);
        _exit(0);
    }
    await_success(pid);
}

/* Every bucket can be used: no mutex is left locked, no queue damaged. */
static inline void
use_every_bucket(void)
{
    for (int i = 0; i < KEYS; i++) {
        fl_waiter w[2];
        check_nobody(&keys[i]);
        queue_all(w, 2, &keys[i]);
        fl_lot_unpark_one(&keys[i], unpark_it, NULL, NULL);
        expect_unparked(&w[0]);
        expect_queued(&w[1]);
    }
}

/* ---- several waits of one thread, since ThreadSanitizer lets no child of a threaded process start threads ---- */

typedef struct {
    fake_blocker blocker;
    void (*when_queued)(void *ctx);
    void *ctx;
} nested_blocker;

static inline void
detach_and_call(fl_blocker *base)
{
    nested_blocker *self = (nested_blocker *)base;
    fake_detach(base);
    self->when_queued(self->ctx);
}

/* A wait with this blocker calls `when_queued(ctx)` before it sleeps. */
static inline nested_blocker
make_nested_blocker(void (*when_queued)(void *ctx), void *ctx)
{
    nested_blocker made = {make_fake_blocker(false, NULL, NULL), when_queued, ctx};
    made.blocker.base.detach = detach_and_call;
    return made;
}

/* ---- a fork in the poll() of a thread that waits ---- */

/* What happens in the child while it is in poll(), and how its wait ends there. */
typedef struct {
    void (*in_child)(void *scene);
    void *scene;
    int end;     /* a result of fl_event_wait or fl_barrier_wait */
    flag *after; /* or NULL: not before this is raised */
    bool goes_on;
    pid_t parent;
    flag forked;
} forker;

static inline bool
fork_in_poll(void *ctx, int polls)
{
    forker *self = ctx;
    if (polls != 2) {
        return true; /* not queued yet, or one slice later */
    }
    if (self->after) {
        await_flag(self->after, 1);
    }
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(TEST_LIMIT_S / 2);
        self->in_child(self->scene);
        return self->goes_on;
    }
    await_success(pid);
    raise_flag(&self->forked, 1);
    return true;
}

/* In the child the wait is the last thing that happens. */
static inline void
end_child(forker *self, int result)
{
    if (getpid() != self->parent) {
        CHECK_EQUAL(result, self->end);
        _exit(0);
    }
}

#endif
