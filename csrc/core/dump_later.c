#include "core/dump_later.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/dump.h"
#include "platform/clock.h"
#include "platform/fatal.h"
#include "platform/text.h"
#include "platform/timed_cond.h"

typedef struct {
    fl_dump_plan plan; /* constant */
    pthread_t thread;
    pthread_cond_t changed; /* `is_cancelled` is */
    bool is_cancelled;      /* under the mutex */
} watchdog;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static watchdog *current; /* Y1 */

static void
lock(void)
{
    fl_must("pthread_mutex_lock", pthread_mutex_lock(&mutex));
}

static void
unlock(void)
{
    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&mutex));
}

/* ---- its thread ---- */

/* Returns whether the time has passed; false where the watchdog was cancelled. */
static bool
wait_until(watchdog *self, int64_t deadline_ns)
{
    int error = 0;
    lock();
    while (!self->is_cancelled && error == 0) {
        error = fl_timed_cond_wait(&self->changed, &mutex, deadline_ns);
    }
    bool goes_on = !self->is_cancelled;
    unlock();
    return goes_on;
}

/* "Timeout (0:01:30)!", with microseconds where there are some, as faulthandler writes it. */
static void
add_timeout(fl_text *text, int64_t timeout_ns)
{
    uint64_t microseconds = ((uint64_t)timeout_ns + 999) / 1000;
    uint64_t seconds = microseconds / (1000 * 1000);
    fl_text_add(text, "Timeout (");
    fl_text_add_decimal(text, seconds / 3600, 1);
    fl_text_add(text, ":");
    fl_text_add_decimal(text, seconds / 60 % 60, 2);
    fl_text_add(text, ":");
    fl_text_add_decimal(text, seconds % 60, 2);
    if (microseconds % (1000 * 1000)) {
        fl_text_add(text, ".");
        fl_text_add_decimal(text, microseconds % (1000 * 1000), 6);
    }
    fl_text_add(text, ")!\n");
}

static void *
watch(void *arg)
{
    watchdog *self = arg;
    do {
        if (!wait_until(self, fl_deadline_after_ns(self->plan.timeout_ns))) {
            break;
        }
        fl_text text = {.fd = self->plan.fd};
        add_timeout(&text, self->plan.timeout_ns);
        fl_text_write(&text);
        (void)fl_dump_write(self->plan.fd);
        if (self->plan.exits) {
            _exit(1);
        }
    } while (self->plan.repeats);
    return NULL;
}

/* ---- coming and going ---- */

/* Starts the thread, which handles no signals: they are the program's.  Returns 0 or an errno value. */
static int
start_thread(watchdog *self)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    fl_must("pthread_sigmask", pthread_sigmask(SIG_SETMASK, &all, &before));
    int error = pthread_create(&self->thread, NULL, watch, self);
    fl_must("pthread_sigmask", pthread_sigmask(SIG_SETMASK, &before, NULL));
    return error;
}

static void
discard(watchdog *self)
{
    fl_must("pthread_cond_destroy", pthread_cond_destroy(&self->changed));
    free(self);
}

static void
end(watchdog *self)
{
    lock();
    self->is_cancelled = true;
    fl_must("pthread_cond_signal", pthread_cond_signal(&self->changed));
    unlock();
    fl_must("pthread_join", pthread_join(self->thread, NULL));
    discard(self);
}

/* Returns who was current before. */
static watchdog *
make_current(watchdog *self)
{
    lock();
    watchdog *before = current;
    current = self;
    unlock();
    return before;
}

void
fl_dump_cancel_later(void)
{
    watchdog *before = make_current(NULL);
    if (before) {
        end(before);
    }
}

void
fl_dump_cancel_later_to(int fd)
{
    lock();
    watchdog *before = current && current->plan.fd == fd ? current : NULL;
    current = before ? NULL : current;
    unlock();
    if (before) {
        end(before);
    }
}

int
fl_dump_later(fl_dump_plan plan)
{
    fl_dump_cancel_later();
    watchdog *self = malloc(sizeof *self);
    if (self == NULL) {
        return ENOMEM;
    }
    *self = (watchdog){.plan = plan};
    int error = fl_timed_cond_init(&self->changed);
    if (error) {
        free(self);
        return error;
    }
    error = start_thread(self);
    if (error) {
        discard(self);
        return error;
    }
    watchdog *before = make_current(self); /* there is one where two threads start watchdogs at once */
    if (before) {
        end(before);
    }
    return 0;
}

/* ---- fork() ---- */

/* Y2: it waits for nobody who writes. */
void
fl_dump_later_before_fork(void)
{
    lock();
}

void
fl_dump_later_after_fork_in_parent(void)
{
    unlock();
}

/* Y3 */
void
fl_dump_later_after_fork_in_child(void)
{
    current = NULL;
    unlock();
}
