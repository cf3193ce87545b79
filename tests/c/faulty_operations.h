/* The table of the core's operations, for the programs in which its calls of the system fail: faulty_scene.h. */

#ifndef FL_TESTS_FAULTY_OPERATIONS_H
#define FL_TESTS_FAULTY_OPERATIONS_H

#include "faulty_events.h"
#include "faulty_locks.h"

static inline void
set_up_nothing(scene *self)
{
    (void)self;
}

static inline void
clean_up_nothing(scene *self)
{
    (void)self;
}

#define LOCKS FL_LOCK_ACQUIRED, FL_LOCK_NO_MEMORY
#define LOCK_TIMES_OUT FL_LOCK_TIMED_OUT, FL_LOCK_NO_MEMORY
#define CANNOT_LACK true, true

static const operation operations[] = {
    {"register a thread", set_up_nothing, run_register, true, false, check_registered, clean_up_nothing, false},

    {"enter", set_up_nothing, run_enter, CANNOT_LACK, check_entered, clean_up_nothing, false},
    {"leave a free lock alone",
     set_up_nothing,
     run_leave_alone,
     FL_LOCK_ACQUIRED,
     FL_LOCK_ACQUIRED,
     check_taken,
     clean_up_nothing,
     false},
    {"lock", set_up_held, run_lock, LOCKS, check_held, clean_up_nothing, false},
    {"lock, asleep", set_up_releaser, run_lock_asleep, LOCKS, check_held, join_helper, true},
    {"lock, released as its sleep ends", set_up_held, run_lock_disturbed, LOCKS, check_held, clean_up_nothing, false},
    {"lock, in time", set_up_held, run_lock_in_time, LOCK_TIMES_OUT, check_held, clean_up_nothing, false},
    {"unlock", set_up_waited_for, run_unlock, CANNOT_LACK, check_first_woken, clean_up_first, false},

    {"try an rmutex", set_up_nothing, run_try_rmutex, LOCKS, check_owned_once, clean_up_nothing, false},
    {"lock an rmutex",
     set_up_owned_by_another,
     run_lock_rmutex,
     LOCKS,
     check_owned_or_another_s,
     clean_up_nothing,
     false},
    {"lock an rmutex, in time",
     set_up_owned_by_another,
     run_lock_rmutex_in_time,
     LOCK_TIMES_OUT,
     check_another_s,
     clean_up_nothing,
     false},

    {"wait, woken",
     set_up_condition,
     run_wait_free,
     FL_COND_NOTIFIED,
     FL_COND_NO_MEMORY,
     check_held,
     clean_up_nothing,
     false},
    {"wait, requeued",
     set_up_condition,
     run_wait_requeued,
     FL_COND_NOTIFIED,
     FL_COND_NO_MEMORY,
     check_held,
     clean_up_nothing,
     false},
    {"wait, in time",
     set_up_condition,
     run_wait_in_time,
     FL_COND_TIMED_OUT,
     FL_COND_NO_MEMORY,
     check_held,
     clean_up_nothing,
     false},
    {"wait with an rmutex",
     set_up_condition,
     run_wait_rmutex,
     FL_COND_NOTIFIED,
     FL_COND_NO_MEMORY,
     check_owned_twice,
     clean_up_nothing,
     false},
    {"give way", set_up_held, run_give_way, FL_COND_TIMED_OUT, FL_COND_NO_MEMORY, check_held, clean_up_nothing, false},
    {"give way to a waiter",
     set_up_impatient,
     run_give_way_contended,
     FL_COND_TIMED_OUT,
     FL_COND_NO_MEMORY,
     check_gave_way,
     clean_up_impatient,
     false},
    {"notify, lock held",
     queue_others_for_condition,
     run_notify_held,
     OTHERS,
     OTHERS,
     check_requeued,
     clean_up_requeued,
     false},
    {"notify, lock free",
     queue_others_for_condition,
     run_notify,
     OTHERS,
     OTHERS,
     check_all_woken,
     clean_up_all_woken,
     false},

    {"await an event",
     set_up_nothing,
     run_await_event,
     FL_EVENT_WAS_SET,
     FL_EVENT_NO_MEMORY,
     check_event,
     clean_up_nothing,
     false},
    {"await an event, in time",
     set_up_nothing,
     run_await_event_in_time,
     FL_EVENT_TIMED_OUT,
     FL_EVENT_NO_MEMORY,
     check_event_clear,
     clean_up_nothing,
     false},
    {"set an event", set_up_awaited_event, run_set_event, CANNOT_LACK, check_event, clean_up_all_woken, false},
    {"open an event", set_up_awaited_event, run_open_event, CANNOT_LACK, check_moved, clean_up_moved, false},

    {"acquire a permit", set_up_nothing, run_acquire, LOCKS, check_no_permit, clean_up_nothing, false},
    {"acquire a permit, in time",
     set_up_nothing,
     run_acquire_in_time,
     LOCK_TIMES_OUT,
     check_no_permit,
     clean_up_nothing,
     false},
    {"release permits",
     set_up_awaited_permits,
     run_release_permits,
     CANNOT_LACK,
     check_permits,
     clean_up_all_woken,
     false},
    {"open a semaphore", set_up_awaited_permits, run_open_sema, CANNOT_LACK, check_moved, clean_up_moved, false},

    {"arrive",
     set_up_pair,
     run_arrive,
     FL_BARRIER_PASSED,
     FL_BARRIER_NO_MEMORY,
     check_barrier_whole,
     clean_up_nothing,
     false},
    {"arrive, in time",
     set_up_nothing,
     run_arrive_in_time,
     FL_BARRIER_BROKEN,
     FL_BARRIER_NO_MEMORY,
     check_barrier_broken,
     clean_up_nothing,
     false},
    {"complete a barrier",
     set_up_awaited_barrier,
     run_complete,
     FL_BARRIER_PASSED,
     FL_BARRIER_PASSED,
     check_completed,
     clean_up_passed,
     false},
    {"complete a barrier with an action",
     set_up_awaited_barrier,
     run_complete_with_action,
     FL_BARRIER_PASSED,
     FL_BARRIER_NO_MEMORY,
     check_completed,
     clean_up_passed,
     false},
    {"abort a barrier",
     set_up_awaited_barrier,
     run_abort,
     CANNOT_LACK,
     check_barrier_broken,
     clean_up_sent_away,
     false},
    {"reset a barrier", set_up_awaited_barrier, run_reset, CANNOT_LACK, check_barrier_whole, clean_up_sent_away, false},
    {"open a barrier", set_up_awaited_barrier, run_open_barrier, CANNOT_LACK, check_nothing, clean_up_sent_away, false},

    {"fork", set_up_nothing, run_fork, CANNOT_LACK, check_nothing, clean_up_nothing, false},
};

enum { OPERATIONS = sizeof operations / sizeof *operations };

static inline void
set_up_scene(scene *self, const operation *of)
{
    set_up_all(self);
    self->operation = of;
    of->set_up(self);
}

#endif
