#include "core/fork.h"

#include <pthread.h>

#include "core/lot/bucket.h"
#include "core/lock_word.h"
#include "core/lot/spin.h"
#include "core/thread.h"
#include "platform/fatal.h"

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

static void
after_fork_in_child(void)
{
    fl_spin_after_fork_in_child();
    fl_thread_after_fork_in_child();
    fl_word_after_fork_in_child();
    fl_buckets_after_fork_in_child();
}

static int init_error;

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
