/* The queues of the parking lot, looked at from outside.
 *
 * These functions take no mutex and make no step, so a thread may call them between two steps as well as a check.  Where
 * the mutex of the bucket is held the queue may be half changed: then they know nothing. */

#ifndef EX_SCENE_QUEUE_H
#define EX_SCENE_QUEUE_H

#include "core/lot/bucket.h"
#include "scene.h"

/* scene_begin(), and remembers the thread's serial for the functions here. */
void scene_come(void);

/* The thread's serial, without a step; 0 before scene_come(). */
uint64_t scene_serial(int thread);

/* Whether somebody holds the mutex of the key's bucket. */
bool scene_is_busy(const void *key);

/* How many wait for the key.  Checks the queue.  0 where scene_is_busy. */
int scene_queued(const void *key);

/* The head of the key's queue; NULL where nobody waits, or scene_is_busy. */
const fl_waiter *scene_first(const void *key);

/* Which threads wait for the key: a bit for each.  0 where scene_is_busy. */
unsigned scene_who_waits(const void *key);

/* The word, without a step. */
uint32_t scene_peek_u32(const fl_atomic_u32 *word);
uint64_t scene_peek_u64(const fl_atomic_u64 *word);

#endif
