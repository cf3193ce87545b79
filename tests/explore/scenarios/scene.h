/* What the scenarios share: a runtime, with its lock or without one, and calls of the core as a thread makes them. */

#ifndef EX_SCENE_H
#define EX_SCENE_H

#include <pthread.h>

#include "core/blocker.h"
#include "core/cond.h"
#include "core/mutex.h"
#include "core/rmutex.h"
#include "explorer.h"
#include "platform/clock.h"

/* The runtime of one thread.  With a runtime lock a thread holds it while it is attached. */
typedef struct {
    fl_blocker base;
    bool (*on_poll)(int thread); /* or NULL */
    bool attached;
} scene_runtime;

extern scene_runtime scene_runtimes[EX_THREADS_MAX];

/* Attaches the calling thread to its runtime, and gives it a serial, in the order of the threads' numbers. */
void scene_begin(void);

/* Detaches it. */
void scene_end(void);

/* Between two operations of a thread: another one may be given the runtime lock. */
void scene_pause(void);

/* The calling thread's blocker; NULL where there is no runtime lock and it is not `interruptible`. */
fl_blocker *scene_blocker(void);

/* Makes the calling thread the one that signals interrupt, and on_poll its handler. */
void scene_interruptible(bool (*on_poll)(int thread));

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

void scene_rlock(fl_rmutex *mutex);
void scene_runlock(fl_rmutex *mutex);

/* ---- what holds at all times ---- */

/* W2 and the queue's own order.  For checks. */
void scene_check_word(fl_atomic_u64 *word);

/* A lock is not free while somebody sleeps in its queue and nobody is on the way.  For at_rest. */
void scene_check_served(fl_atomic_u64 *word);

/* A lock that is free, and that nobody waits for. */
void scene_check_free(fl_atomic_u64 *word);

#endif
