/* The watchdog: a thread that dumps (core/dump.h) when a time has passed.
 *
 * Y1  There is one watchdog at most: `current`, under the mutex.  Whoever takes `current` away ends that watchdog,
 *     waits for its end, and frees it.  One that has ended by itself stays `current` until then.
 * Y2  The mutex is held for a few steps only, and never while something is written: a fork takes it.  A write may block
 *     for ever.  So who ends a watchdog waits for its thread, and not for the mutex.
 * Y3  In the child of a fork there is no watchdog.  Its memory is not freed, because the condition variable in it may
 *     have a waiter that is not there. */

#ifndef FL_DUMP_LATER_H
#define FL_DUMP_LATER_H

#include <stdbool.h>
#include <stdint.h>

/* What the watchdog does. */
typedef struct {
    int64_t timeout_ns; /* more than 0 */
    bool repeats;       /* after each dump it waits for as long again */
    bool exits;         /* after the dump it ends the process, by _exit(1) */
    int fd;
} fl_dump_plan;

/* Ends the watchdog, if there is one, and starts another.  Returns 0, or ENOMEM or EAGAIN where the system lacks
 * resources: then there is none.  Blocks as the next function does. */
int fl_dump_later(fl_dump_plan plan);

/* Ends the watchdog, if there is one.  Nothing is written when this has returned.  Blocks while the watchdog writes. */
void fl_dump_cancel_later(void);

/* The same, only where the watchdog writes to that file descriptor, which is about to be closed. */
void fl_dump_cancel_later_to(int fd);

/* For core/fork.c.  The first takes the mutex, the others release it. */
void fl_dump_later_before_fork(void);
void fl_dump_later_after_fork_in_parent(void);
void fl_dump_later_after_fork_in_child(void);

#endif
