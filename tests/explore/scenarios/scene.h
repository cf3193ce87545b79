/* What the scenarios share: a runtime, with its lock or without one, and calls of the core as a thread makes them. */

#ifndef EX_SCENE_H
#define EX_SCENE_H

#include <pthread.h>
#include <stdint.h>

#include "core/blocker.h"
#include "core/cond.h"
#include "core/mutex.h"
#include "core/rmutex.h"
#include "core/lot/bucket.h"
#include "explorer.h"
#include "platform/clock.h"

/* The runtime of one thread.  With a runtime lock a thread holds it while it is attached. */
typedef struct {
    fl_blocker base;             /* for waits */
    fl_blocker back;             /* for taking a lock back after a wait: signals do not interrupt that */
    bool (*on_poll)(int thread); /* or NULL */
    bool (*on_poll_back)(int thread);
    uint64_t serial;
    bool attached;
    bool is_gone; /* the runtime has ended it */
} scene_runtime;

extern scene_runtime scene_runtimes[EX_THREADS_MAX];

/* Attaches the calling thread to its runtime, and gives it a serial, in the order of the threads' numbers. */
void scene_begin(void);

/* The same without the registry of threads, which takes part in nothing then: its serial goes with its number. */
void scene_begin_numbered(void);

/* Detaches it. */
void scene_end(void);

/* The runtime ends: from now on it ends every other thread than the calling one that attaches. */
void scene_end_runtime(void);

/* Between two operations of a thread: another one may be given the runtime lock. */
void scene_pause(void);

/* The calling thread's blocker; NULL where there is no runtime lock and it is not `interruptible`. */
fl_blocker *scene_blocker(void);

/* The same for taking a lock back; NULL where there is no runtime lock and no on_poll_back. */
fl_blocker *scene_blocker_back(void);

/* Makes the calling thread the one that signals interrupt, and on_poll its handler. */
void scene_interruptible(bool (*on_poll)(int thread));

/* What is asked when a lock is to be taken back. */
void scene_asked_back(bool (*on_poll_back)(int thread));

/* A deadline that the explorer may let pass. */
int64_t scene_deadline(void);

/* ---- a section that a lock guards ---- */

/* Enters and leaves: two threads at once fail the run.  `what` is a plain variable, so the explorer sees as well whether
 * the lock orders the threads' accesses. */
typedef struct {
    int inside;
    int entries;
} scene_section;

void scene_enter(scene_section *section);
void scene_leave(scene_section *section);

/* ---- locks ---- */

/* As Lock.acquire(timeout) and Lock.release() do. */
fl_lock_result scene_lock_within(fl_mutex *mutex, int64_t deadline_ns);
void scene_lock(fl_mutex *mutex);
void scene_unlock(fl_mutex *mutex);

fl_lock_result scene_rlock_within(fl_rmutex *mutex, int64_t deadline_ns);
void scene_rlock(fl_rmutex *mutex);
void scene_runlock(fl_rmutex *mutex);

/* The lock of a condition, of either kind. */
fl_cond_lock scene_plain(fl_mutex *mutex);
fl_cond_lock scene_recursive(fl_rmutex *mutex);
void scene_take(fl_cond_lock lock);

/* As Condition.release() does (FL_WAKE_NEXT), or Lock.release() (FL_WAKE_ONE). */
void scene_give(fl_cond_lock lock, fl_wake_policy policy);

/* As Condition.wait(timeout) does: anything but FL_COND_NO_MEMORY, which is tried again. */
fl_cond_result scene_wait(fl_cond *cond, fl_cond_lock lock, int64_t deadline_ns);

/* ---- what holds at all times ---- */

/* What holds of every waiter: L1, L2, and where a waiter may be queued.  For checks, as all below. */
void scene_check_waiters(void);

/* The queue of a lock, L9, and of its word W2 to W4. */
void scene_check_word(fl_atomic_u64 *word);

/* The same, and that the word shows whoever was handed the lock as its holder.  For a lock that only its holder
 * releases. */
void scene_check_lock(fl_atomic_u64 *word);

/* The queue of a condition, and its word. */
void scene_check_cond(fl_cond *cond);

/* L9: a waiter of the thread is in the lock's queue since the time when its notification came, or its wait ended
 * otherwise.  `notified_ns`: no notification came before; `ended_ns`: no wait ended otherwise before. */
void scene_check_age(int thread, fl_atomic_u64 *word, int64_t notified_ns, int64_t ended_ns);

/* A lock is not free while somebody sleeps in its queue and nobody is on the way.  For at_rest. */
void scene_check_served(fl_atomic_u64 *word);

/* A lock that is free, and that nobody waits for. */
void scene_check_free(fl_atomic_u64 *word);

/* A condition for which nobody waits. */
void scene_check_left(fl_cond *cond);

/* No waiter and no block is left over. */
void scene_check_nothing_left(void);

#endif
