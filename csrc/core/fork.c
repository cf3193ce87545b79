#include "core/fork.h"

#include <pthread.h>

#include "core/lot/bucket.h"
#include "core/lock_word.h"
#include "core/lot/spin.h"
#include "core/thread.h"
#include "platform/fatal.h"

/* The order is that of L6.  A thread that takes the registry's mutex holds no bucket's, so this does not deadlock with
 * it. */
static void
before_fork(void)
{
    fl_buckets_before_fork();
    fl_thread_before_fork();
}

static void
after_fork_in_parent(void)
{
    fl_thread_after_fork_in_parent();
    fl_buckets_after_fork_in_parent();
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
}

static int init_error;

/* The handlers come last: a fork before that has nothing to protect.  They stay for the life of the process, which is
 * why this code must not be unloaded. */
static void
init_once(void)
{
    fl_spin_init();
    init_error = fl_thread_init();
    if (init_error == 0) {
        init_error = fl_buckets_init();
    }
    if (init_error == 0) {
        init_error = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    }
}

int
fl_core_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    fl_must("pthread_once", pthread_once(&once, init_once));
    return init_error;
}
