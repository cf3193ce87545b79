#include "core/fork.h"

#include <pthread.h>

#include "core/deadlock.h"
#include "core/dump.h"
#include "core/dump_later.h"
#include "core/dump_signal.h"
#include "core/lot/bucket.h"
#include "core/lock_word.h"
#include "core/lot/spin.h"
#include "core/thread.h"
#include "platform/atomic.h"
#include "platform/fatal.h"

/* The order is that of L6, after the mutexes of the dumps, whose holders take no other one.  A thread that takes the
 * registry's mutex holds no bucket's, so this does not deadlock with it. */
static void
before_fork(void)
{
    fl_dump_later_before_fork();
    fl_dump_signal_before_fork();
    fl_buckets_lock_all();
    fl_thread_before_fork();
}

static void
after_fork_in_parent(void)
{
    fl_thread_after_fork_in_parent();
    fl_buckets_unlock_all();
    fl_dump_signal_after_fork();
    fl_dump_later_after_fork_in_parent();
}

/* The mutexes are unlocked here and not set up anew: this thread owns them, in the child as in the parent, and to set
 * up a mutex that is locked is undefined.  (A parker's mutex may stay locked in the child.  Its waiter belongs to a
 * thread that is not there: L7.)
 *
 * The buckets come last.  To drop a waiter whose thread is not there calls its primitive, which may ask who is left
 * behind (U4), and must find the answers of the child. */
static void
after_fork_in_child(void)
{
    fl_spin_after_fork_in_child();
    fl_thread_after_fork_in_child();
    fl_word_after_fork_in_child();
    fl_buckets_after_fork_in_child();
    fl_dump_after_fork_in_child();
    fl_dump_signal_after_fork();
    fl_dump_later_after_fork_in_child();
}

static fl_atomic_u32 is_ready;

/* Sets up what is not set up yet.  Each step can be repeated.  Returns 0, or the errno value of the first that failed.
 *
 * The handlers come last: a fork before that has nothing to protect.  They stay for the life of the process, which is
 * why this code must not be unloaded. */
static int
set_up(void)
{
    if (fl_load_relaxed_u32(&is_ready)) {
        return 0;
    }
    int error = fl_thread_init();
    fl_thread_on_end(fl_deadlock_thread_ended);
    if (error == 0) {
        error = fl_buckets_init();
    }
    if (error == 0) {
        error = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    }
    if (error == 0) {
        fl_store_release_u32(&is_ready, 1);
    }
    return error;
}

static void
set_up_once(void)
{
    fl_spin_init();
    fl_deadlock_init();
    (void)set_up(); /* whoever has called tries again */
}

/* pthread_once survives a fork in the middle of it, which a mutex does not.  So the mutex is only for those who come
 * after an attempt that has failed. */
int
fl_core_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static pthread_mutex_t again_mutex = PTHREAD_MUTEX_INITIALIZER;
    fl_must("pthread_once", pthread_once(&once, set_up_once));
    if (fl_load_acquire_u32(&is_ready)) {
        return 0;
    }
    fl_must("pthread_mutex_lock", pthread_mutex_lock(&again_mutex));
    int error = set_up();
    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&again_mutex));
    return error;
}
