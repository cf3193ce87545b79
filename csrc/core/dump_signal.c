#include "core/dump_signal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>

#include "core/dump.h"
#include "platform/atomic.h"
#include "platform/fatal.h"

enum { SIGNALS = NSIG };

/* The settings of a signal: these, and its file descriptor, times FILE_STEP. */
enum { REGISTERED = 1, CHAINS = 2, FILE_STEP = 4 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* X2 */
static struct {
    fl_atomic_u32 settings;    /* X1 */
    struct sigaction previous; /* what the signal did before; constant while it is REGISTERED */
} signals[SIGNALS];

static uint32_t
settings_of(int signum)
{
    return fl_load_relaxed_u32(&signals[signum].settings);
}

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

bool
fl_dump_is_signal(int signum)
{
    return signum >= 1 && signum < SIGNALS;
}

/* ---- the handler ---- */

static int install(int signum, bool chains);

/* Lets the previous handler run, with the signal delivered to it as if there were no other. */
static void
call_previous(int signum)
{
    (void)sigaction(signum, &signals[signum].previous, NULL);
    (void)raise(signum);
    if (settings_of(signum) & REGISTERED) {
        (void)install(signum, true);
    }
}

/* X1 */
static void
handle(int signum)
{
    int saved_errno = errno;
    uint32_t settings = settings_of(signum);
    if (settings & REGISTERED) { /* it is not where the handler begins when another thread has taken it back */
        (void)fl_dump_write((int)(settings / FILE_STEP));
        if (settings & CHAINS) {
            call_previous(signum);
        }
    }
    errno = saved_errno;
}

/* Who chains raises the signal inside its handler, so it must not be blocked there.  Who does not lets the system calls
 * go on that it has interrupted.  Returns 0 or an errno value. */
static int
install(int signum, bool chains)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK | (chains ? SA_NODEFER : SA_RESTART)};
    (void)sigemptyset(&action.sa_mask);
    return sigaction(signum, &action, NULL) < 0 ? errno : 0;
}

/* ---- registering ---- */

int
fl_dump_register(int signum, int fd, bool chains)
{
    int error = 0;
    lock();
    uint32_t before = settings_of(signum);
    if (!(before & REGISTERED) && sigaction(signum, NULL, &signals[signum].previous) < 0) {
        error = errno;
    }
    if (error == 0) {
        uint32_t settings = REGISTERED | (chains ? CHAINS : 0) | (uint32_t)fd * FILE_STEP;
        fl_store_relaxed_u32(&signals[signum].settings, settings);
        error = install(signum, chains);
    }
    if (error) {
        fl_store_relaxed_u32(&signals[signum].settings, before);
    }
    unlock();
    return error;
}

/* Under the mutex. */
static void
uninstall(int signum)
{
    fl_store_relaxed_u32(&signals[signum].settings, 0);
    (void)sigaction(signum, &signals[signum].previous, NULL);
}

bool
fl_dump_unregister(int signum)
{
    lock();
    bool was_registered = settings_of(signum) & REGISTERED;
    if (was_registered) {
        uninstall(signum);
    }
    unlock();
    return was_registered;
}

void
fl_dump_unregister_from(int signum, int fd)
{
    lock();
    uint32_t settings = settings_of(signum);
    if ((settings & REGISTERED) && settings / FILE_STEP == (uint32_t)fd) {
        uninstall(signum);
    }
    unlock();
}

/* ---- fork(); X3 ---- */

void
fl_dump_signal_before_fork(void)
{
    lock();
}

void
fl_dump_signal_after_fork(void)
{
    unlock();
}
