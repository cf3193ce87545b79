/* Who the calling thread is.
 *
 * A thread is known by a serial number that is never used again in the life of the process.  A pthread_t will not do:
 * the system reuses it as soon as its thread has ended, and a lock that a dead thread holds would then seem to be held
 * by the new one.  A serial also survives fork(): the one thread that lives on in the child keeps its own, and no new
 * thread gets the serial of one that is not there.
 *
 * U1  0 is no thread.
 * U2  Serials are multiples of FL_THREAD_SERIAL_STEP, because lock words keep flags in the low bits.  The other bits
 *     last for four years at a million new threads a second.
 * U3  A thread has one record, from the first time that it needs a serial until it ends.  The list of records is
 *     guarded by the registry's mutex.  Apart from its links, a record is written by its own thread only.
 * U4  In the child of a fork every serial that was given before the fork belongs to a thread that is not there, except
 *     the serial of the thread that forked.
 * U5  A record's standing says where its thread is queued for a mutex.  The record lives while a waiter of its thread
 *     does. */

#ifndef FL_THREAD_H
#define FL_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/atomic.h"
#include "platform/compiler.h"

#define FL_THREAD_SERIAL_STEP (UINT64_C(1) << 17)

/* Where a thread is queued for a mutex (core/deadlock.h).  Its thread is in one such queue at most. */
typedef struct {
    fl_atomic_ptr bucket; /* NULL: in none.  Changes under that bucket's mutex */
    void *waiter;         /* constant while `bucket` is not NULL; read under that bucket's mutex */
} fl_standing;

/* The calling thread's serial, or 0 where it has not needed one yet.  Read it through fl_thread_self. */
extern FL_THREAD_LOCAL uint64_t fl_thread_serial;

/* Returns the calling thread's serial, or 0 where it has none yet (U1). */
static inline uint64_t
fl_thread_self(void)
{
    return fl_thread_serial;
}

/* Gives a serial to the calling thread, which has none.  Returns it, or 0 where there is no memory for the record.
 * Takes the registry's mutex. */
uint64_t fl_thread_register_slow(void);

/* Returns the calling thread's serial.  Gives it one where it has none, as fl_thread_register_slow does. */
static inline uint64_t
fl_thread_register(void)
{
    return FL_LIKELY(fl_thread_serial != 0) ? fl_thread_serial : fl_thread_register_slow();
}

/* Returns the pthread_self() of the living thread with that serial, as an integer; 0 where it has ended.  Takes the
 * registry's mutex. */
uint64_t fl_thread_ident(uint64_t serial);

typedef enum { FL_THREAD_LIVES, FL_THREAD_HAS_ENDED, FL_THREAD_STAYED_BEHIND } fl_thread_fate;

/* Returns what has become of the thread with that serial, which is not 0: it did not come along in a fork, for
 * instance.  Writes its pthread_self() as an integer into `ident`, or 0 where it is gone and that is forgotten: of
 * those that are gone only the last few are remembered.  Under the registry's mutex. */
fl_thread_fate fl_thread_find(uint64_t serial, uint64_t *ident);

/* The calling thread's standing (U5); NULL where the thread has no serial. */
fl_standing *fl_thread_standing(void);

/* Take and release the registry's mutex, for those who look at other threads' standings. */
void fl_thread_lock_registry(void);
void fl_thread_unlock_registry(void);

/* Tries to take the registry's mutex, as fl_buckets_try_lock_all does. */
bool fl_thread_try_lock_registry(int *naps);

/* Returns the standing of the living thread with that serial, NULL where it has ended.  Under the registry's mutex,
 * and not to be used after it. */
fl_standing *fl_thread_find_standing(uint64_t serial);

/* Lists the buckets in which threads stand, each once, up to `room` of them.  Returns how many it has found, which is
 * more than `room` where they do not fit.  Under the registry's mutex. */
size_t fl_thread_list_buckets(const void **buckets, size_t room);

/* Sets what is called at the end of each thread that had a serial, when the registry has forgotten that.  The hook
 * holds no mutex.  For the setting up. */
void fl_thread_on_end(void (*hook)(uint64_t serial));

/* Whether the thread with that serial, which is not 0, was left behind by a fork (U4).  Takes no mutex, and one
 * step. */
bool fl_thread_is_left_behind(uint64_t serial);

/* Tells the core which thread is the main one in the runtime's sense, the one that runs signal handlers: by its
 * pthread_self() as an integer.  In a forked child the thread that forked is the main one from then on. */
void fl_thread_set_main(uint64_t ident);

/* Whether the calling thread is the main one; false where nobody has told. */
bool fl_thread_is_main(void);

/* Sets the registry up.  Called before anything else here, by one thread at a time; again where that or a later step of
 * the setting up has failed.  Returns 0 or an errno value. */
int fl_thread_init(void);

/* For core/fork.c.  The first takes the registry's mutex, the others release it.  In the child every record but the
 * calling thread's own is forgotten. */
void fl_thread_before_fork(void);
void fl_thread_after_fork_in_parent(void);
void fl_thread_after_fork_in_child(void);

#endif
