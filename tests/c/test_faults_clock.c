/* The clocks, set to where the system's own cannot be set: faults.h adds to what the core sees of them. */

#include "faulty_operations.h"

#include "core/lot/spin.h"

#define NS_PER_S INT64_C(1000000000)

/* In a thread of its own, with the time that it takes. */
static void *
run_here(void *arg)
{
    scene *self = arg;
    int64_t before_ns = fl_clock_now_ns();
    faults_plan(FAULTS_SCARCE, 0, 0);
    CHECK_EQUAL(self->operation->run(self), self->operation->done);
    (void)faults_forget();
    self->operation->check(self, true);
    if (self->operation->done == FL_LOCK_TIMED_OUT && self->operation->scarce == FL_LOCK_NO_MEMORY) {
        CHECK(fl_clock_now_ns() - before_ns >= NS_PER_MS);
    }
    return NULL;
}

static void
run_all(void)
{
    for (int i = 0; i < OPERATIONS; i++) {
        scene self;
        set_up_scene(&self, &operations[i]);
        join_thread(start_thread(run_here, &self));
        operations[i].clean_up(&self);
    }
}

static flag stop;

/* Somebody sets the time of day, again and again, by years. */
static void *
set_time_of_day(void *arg)
{
    const int64_t shifts_s[] = {3600, -3600, 100000000, -100000000, 1, -1, 0};
    while (!fl_load_acquire_u32(&stop)) {
        for (size_t i = 0; i < sizeof shifts_s / sizeof *shifts_s; i++) {
            faults_shift_realtime_ns(shifts_s[i] * NS_PER_S);
            pause_briefly();
        }
    }
    faults_shift_realtime_ns(0);
    return arg;
}

static void
test_t39_time_of_day_is_set_during_every_operation(void)
{
    pthread_t setter = start_thread(set_time_of_day, NULL);
    for (int i = 0; i < 10; i++) {
        run_all();
    }
    raise_flag(&stop, 1);
    join_thread(setter);
}

/* For the rest of the test the monotonic clock is so far from the last time that can be counted. */
static void
begin_before_the_end(int64_t left_ns)
{
    faults_shift_monotonic_ns(0);
    struct timespec now;
    CHECK_EQUAL(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    int64_t now_ns = now.tv_sec * NS_PER_S + now.tv_nsec;
    faults_shift_monotonic_ns(INT64_MAX - left_ns - now_ns);
    CHECK(fl_clock_now_ns() >= INT64_MAX - left_ns);
}

static void
test_t39_clock_near_its_limit(void)
{
    begin_before_the_end(3600 * NS_PER_S);
    CHECK_EQUAL(fl_deadline_after_ns(3601 * NS_PER_S), FL_DEADLINE_NEVER);
    CHECK(fl_deadline_after_ns(3000 * NS_PER_S) < FL_DEADLINE_NEVER);
    for (int i = 0; i < 10; i++) {
        run_all();
    }
    begin_before_the_end(2 * NS_PER_S);
    run_all();
    faults_shift_monotonic_ns(0);
}

/* The lock is taken before it is that late, or at once where the deadline has passed. */
static void
wait_until_deadline(int64_t deadline_ns, bool is_past)
{
    scene self;
    set_up_all(&self);
    set_up_held(&self);
    fl_blocker *blocker = woken_by(&self, is_past ? NULL : release_mutex, false);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &self.mutex, deadline_ns, blocker),
                is_past ? FL_LOCK_TIMED_OUT : FL_LOCK_ACQUIRED);
    set_up_all(&self);
    CHECK_EQUAL(fl_event_wait(&self.event, deadline_ns, woken_by(&self, is_past ? NULL : set_event, true)),
                is_past ? FL_EVENT_TIMED_OUT : FL_EVENT_WAS_SET);
    set_up_all(&self);
    set_up_condition(&self);
    CHECK_EQUAL(
        fl_cond_wait(
            &self.cond, self.lock, deadline_ns, woken_by(&self, is_past ? NULL : notify_free, true), &self.back.base),
        is_past ? FL_COND_TIMED_OUT : FL_COND_NOTIFIED);
    check_nobody_waits(&self);
}

static void
test_t16_deadlines_at_the_limits(void)
{
    const int64_t past_ns[] = {FL_DEADLINE_PASSED, 1, NS_PER_S - 1, NS_PER_S};
    const int64_t far_ns[] = {FL_DEADLINE_NEVER, FL_DEADLINE_NEVER - 1, FL_DEADLINE_NEVER - NS_PER_S};
    CHECK(fl_clock_now_ns() > NS_PER_S);
    for (size_t i = 0; i < sizeof past_ns / sizeof *past_ns; i++) {
        wait_until_deadline(past_ns[i], true);
    }
    for (size_t i = 0; i < sizeof far_ns / sizeof *far_ns; i++) {
        wait_until_deadline(far_ns[i], false);
    }
}

/* Really asleep until a deadline that is as far as can be counted. */
static void *
lock_until_the_end(void *arg)
{
    scene *self = arg;
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, FL_DEADLINE_NEVER - 1, NULL), FL_LOCK_ACQUIRED);
    return NULL;
}

static void
test_t16_sleep_until_the_last_deadline(void)
{
    scene self;
    set_up_all(&self);
    set_up_held(&self);
    fl_spin_enable(false);
    pthread_t sleeper = start_thread(lock_until_the_end, &self);
    wait_until_parked(&self.mutex, 1);
    nanosleep(&(struct timespec){.tv_nsec = 2 * NS_PER_MS}, NULL); /* it would have come back */
    CHECK_EQUAL(fl_lot_count(&self.mutex), 1);
    release_mutex(&self);
    join_thread(sleeper);
    fl_spin_enable(true);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_t39_time_of_day_is_set_during_every_operation);
    if (sizeof(time_t) == sizeof(int64_t)) {
        RUN(test_t39_clock_near_its_limit);
    }
    else {
        puts("  the system's clock ends before that limit");
    }
    RUN(test_t16_deadlines_at_the_limits);
    RUN(test_t16_sleep_until_the_last_deadline);
    return 0;
}
