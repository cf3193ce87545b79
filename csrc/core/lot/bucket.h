/* The parking lot's table: buckets, and in them the FIFOs of the keys.  For core/lot/, core/deadlock.c and core/fork.c.
 * The rules, L1 to L9, are in core/lot/parking_lot.h. */

#ifndef FL_BUCKET_H
#define FL_BUCKET_H

#include <pthread.h>

#include "core/lot/spin.h"
#include "core/lot/waiter.h"
#include "platform/compiler.h"

typedef struct {
    _Alignas(FL_CACHE_LINE) pthread_mutex_t mutex;
    fl_waiter *queues;           /* the heads of its keys' FIFOs; under mutex */
    fl_spin_history history;     /* of the waits that began here; without a mutex, like the next */
    fl_spin_history back_offs;   /* of the locks whose keys lead here */
    fl_atomic_u64 designated_ns; /* when a waiter was last designated here: core/lot/give_way.h */
} fl_bucket;

/* 2 ** 10 buckets of one cache line each.  A bucket's list holds only those who are blocked now, so this is plenty for
 * a thousand blocked threads with a key each.  Of its 64 KiB all are touched by a fork and
 * by a look at all waits only. */
enum { FL_BUCKET_COUNT = 1 << FL_BUCKET_BITS };

/* The bucket of that number, from 0. */
fl_bucket *fl_bucket_at(int number);

/* The bucket that the key leads to. */
fl_bucket *fl_bucket_of(const void *key);

/* The bucket that the waiter is, or was last, queued in.  Without a mutex: the waiter may be moved to another one at
 * once. */
static inline fl_bucket *
fl_bucket_of_waiter(fl_waiter *waiter)
{
    return (fl_bucket *)fl_load_relaxed_ptr(&waiter->bucket);
}

/* Takes the bucket's mutex.  Whoever holds it does a few steps only, so this spins for a moment before it sleeps. */
void fl_bucket_lock(fl_bucket *bucket);

/* Releases the bucket's mutex.  Does not block. */
void fl_bucket_unlock(fl_bucket *bucket);

/* The same for two buckets, which may be one, in the order of L6. */
void fl_bucket_lock_both(fl_bucket *a, fl_bucket *b);
void fl_bucket_unlock_both(fl_bucket *a, fl_bucket *b);

/* Locks and returns the bucket that the waiter is, or was last, queued in. */
fl_bucket *fl_bucket_lock_of(fl_waiter *waiter);

/* The same for all buckets.  That takes some 20 us. */
void fl_buckets_lock_all(void);
void fl_buckets_unlock_all(void);

/* Tries to take them all, in the same order, for a caller that may have interrupted who holds one.  It naps where one
 * is taken, `*naps` times at most, which it counts down.  Returns whether it has them. */
bool fl_buckets_try_lock_all(int *naps);

/* Takes the mutex of one bucket after the other, and calls `visit` with each. */
void fl_buckets_visit(void (*visit)(void *ctx, fl_bucket *bucket), void *ctx);

/* Sets the table up.  Called before anything else here, by one thread at a time; again where that or a later step of
 * the setting up has failed.  Returns 0 or an errno value. */
int fl_buckets_init(void);

/* For core/fork.c, in the child of a fork that was made with all buckets locked, so that the queues are whole.  Takes
 * every waiter out but those of the calling thread, which has some where it forks in poll().  Unlocks all. */
void fl_buckets_after_fork_in_child(void);

/* The rest is called under the bucket's mutex. */

/* Returns the link that points to the head of the key's FIFO; a link that holds NULL where nobody waits. */
fl_waiter **fl_bucket_queue(fl_bucket *bucket, const void *key);

/* Queues the waiter for `key`, in its place by age (L9).  Returns whether it is the first there.  It takes as many
 * steps as there are waiters between that place and the nearer end. */
bool fl_bucket_put_in(fl_bucket *bucket, fl_waiter *waiter, const void *key);

/* Takes a queued waiter out. */
void fl_bucket_take_out(fl_bucket *bucket, fl_waiter *waiter);

#endif
