/* A dump: who waits for what, as text for people, written by a thread that needs nothing.
 *
 * A signal handler may call it, in any thread, between any two instructions, and so may a thread without a runtime.  It
 * allocates nothing, runs nothing of the runtime, and waits for no thread without a limit.
 *
 * V1  What is shown existed in one instant: everything is locked while it is copied, as for a deadlock (D1).  Nothing
 *     is written then, because a file may block.
 * V2  The mutexes are tried, and not waited for.  The thread that the handler has interrupted may hold one of them, and
 *     goes on only when the handler returns.  Any other holder does a few steps.  So the dump tries for some
 *     milliseconds, in the order of L6, and gives up.
 * V3  The copies lie in one static table.  Who dumps has it; whoever wants it at the same time does without, and says
 *     so: it may be a handler in the thread that has the table.
 * V4  An object is named by its type and its address.  Both are read under the mutex of the waiter's bucket, while its
 *     waiter keeps it alive. */

#ifndef FL_DUMP_H
#define FL_DUMP_H

#include "core/lot/waiter.h"

/* The object that a waiter waits for. */
typedef struct {
    const char *type;    /* a string that lasts for ever */
    const void *address; /* as the runtime shows it */
    char given[48];      /* what the program calls it, in UTF-8; empty where it has no name */
} fl_dump_name;

/* Names what the waiter waits for.  Called under the mutex of its bucket; may read, and nothing else. */
typedef fl_dump_name fl_dump_name_fn(const fl_waiter *waiter);

/* Sets how objects are named.  For the setting up. */
void fl_dump_init(fl_dump_name_fn *name);

/* Writes a line for each thread that waits, and then the deadlocks, to the file descriptor.  Where the locks are busy
 * (V2, V3) a line says so instead.  Returns 0, or the errno value of the write that has failed.  Blocks where the file
 * does; changes errno. */
int fl_dump_write(int fd);

/* For core/fork.c: a thread that had the table is not there. */
void fl_dump_after_fork_in_child(void);

#endif
