/* One condition with its lock, and tokens that threads wait for: what the scenarios of core/cond.h share.
 *
 * A token is made and a waiter notified under the lock.  Whoever finds no token waits.  So a notification that is lost
 * leaves a thread asleep although there is a token, and one that is made up shows in the counts. */

#ifndef EX_CLUB_H
#define EX_CLUB_H

#include "scene.h"

typedef struct {
    fl_mutex plain;
    fl_rmutex recursive;
    fl_cond cond;
    fl_cond_lock lock; /* one of the two */
    scene_section section;
    int tokens;                          /* under the lock, as the next three */
    int made, used;                      /* tokens */
    int sent;                            /* notifications that a waiter got */
    int received[EX_THREADS_MAX];        /* waits that ended as notified */
    bool is_waiting[EX_THREADS_MAX];     /* the thread is in a wait, or on its way: a signal handler may raise */
    int64_t deadline_ns[EX_THREADS_MAX]; /* of that wait */
    bool has_handler;                    /* thread 0 may wait for the lock in a handler while it is in its wait */
    int64_t notified_ns;                 /* when the first notification came */
    bool gives_up;                       /* some wait may: then a notification may end with nobody */
} scene_club;

extern scene_club club;

/* For set_up: which lock it is. */
void club_is_plain(void);
void club_is_recursive(void);

/* As scene_begin_numbered or, where the lock is recursive, scene_begin: whoever waits for such a lock looks whether the
 * registry knows its owner. */
void club_begin(void);

/* For all scenarios. */
void club_check(void);
void club_at_rest(void);
void club_at_end(void);

#define CLUB_CHECKS .check = club_check, .at_rest = club_at_rest, .at_end = club_at_end

/* Takes the lock and enters; leaves and releases it. */
void club_enter(void);
void club_leave(fl_wake_policy policy);

/* Inside: waits once, and counts. */
fl_cond_result club_wait(int64_t deadline_ns);

/* Inside: notifies, and counts. */
void club_notify(size_t most);

/* Inside: makes a token, and notifies one waiter. */
void club_make(void);

/* Inside: waits for a token, and uses it.  Returns false where the time was over first, or the wait was given up. */
bool club_use(int64_t deadline_ns);

/* For scene_interruptible: a handler that may raise while its thread waits. */
bool club_may_raise(int thread);

/* A whole visit. */
void club_visit_to_make(void);
bool club_visit_to_use(int64_t deadline_ns);

#endif
