/* What the scenarios of the barrier share. */

#ifndef EX_SCENE_BARRIER_H
#define EX_SCENE_BARRIER_H

#include "core/barrier.h"
#include "scene_queue.h"

extern fl_barrier scene_barrier;

/* Of the word, as core/barrier.c keeps it. */
enum { SCENE_FILLING, SCENE_ACTING, SCENE_BROKEN, SCENE_OPENED };
int scene_barrier_phase(void);
int scene_barrier_count(void);
int scene_barrier_generation(void);

/* B1: the count is that of the threads that have arrived and wait, and of the actor.  Guests are there while an action
 * runs only.  For checks. */
void scene_barrier_check(void);

/* Nobody has arrived, and nobody waits.  For checks. */
void scene_barrier_check_empty(void);

/* A time after which a wait gives up, where the explorer lets it. */
#define SCENE_TIMEOUT_NS INT64_C(5000000)

/* Waits, and notes the index of a wait that has passed. */
fl_barrier_result scene_barrier_wait(int thread, int64_t timeout_ns, fl_barrier_action action);

/* Each index was dealt as often as any other one.  For checks at the end, where no wait was given up. */
void scene_barrier_check_indices(void);

/* How often the thread has passed. */
int scene_barrier_passed(int thread);

/* Each thread that has passed sees what the others did before they arrived: call it before and after a wait. */
void scene_barrier_write(int thread, int value);
int scene_barrier_read(int thread);

#endif
