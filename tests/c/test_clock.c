/* platform/clock.h */

#include "check.h"

static void
test_now_never_goes_back(void)
{
    int64_t before_ns = fl_clock_now_ns();
    CHECK(before_ns > 0);
    for (int i = 0; i < 10000; i++) {
        int64_t now_ns = fl_clock_now_ns();
        CHECK(now_ns >= before_ns);
        before_ns = now_ns;
    }
}

static void
test_t39_now_is_the_monotonic_clock(void)
{
    struct timespec before;
    struct timespec after;
    CHECK_EQUAL(clock_gettime(CLOCK_MONOTONIC, &before), 0);
    int64_t now_ns = fl_clock_now_ns();
    CHECK_EQUAL(clock_gettime(CLOCK_MONOTONIC, &after), 0);
    CHECK(now_ns >= (int64_t)before.tv_sec * 1000000000 + before.tv_nsec);
    CHECK(now_ns <= (int64_t)after.tv_sec * 1000000000 + after.tv_nsec);
}

static void
test_deadline_is_timeout_from_now(void)
{
    int64_t before_ns = fl_clock_now_ns();
    int64_t deadline_ns = fl_deadline_after_ns(NS_PER_MS);
    int64_t after_ns = fl_clock_now_ns();
    CHECK(deadline_ns >= before_ns + NS_PER_MS);
    CHECK(deadline_ns <= after_ns + NS_PER_MS);
    CHECK(fl_deadline_after_ns(1) > before_ns);
}

static void
test_t16_timeouts_without_time_have_passed(void)
{
    CHECK_EQUAL(fl_deadline_after_ns(0), FL_DEADLINE_PASSED);
    CHECK_EQUAL(fl_deadline_after_ns(-1), FL_DEADLINE_PASSED);
    CHECK_EQUAL(fl_deadline_after_ns(INT64_MIN), FL_DEADLINE_PASSED);
    CHECK(FL_DEADLINE_PASSED < fl_clock_now_ns());
}

static void
test_t16_deadlines_saturate(void)
{
    CHECK_EQUAL(fl_deadline_after_ns(INT64_MAX), FL_DEADLINE_NEVER);
    CHECK_EQUAL(fl_deadline_after_ns(INT64_MAX - 1), FL_DEADLINE_NEVER);
    int64_t far_ns = INT64_MAX - 3600 * INT64_C(1000000000) - fl_clock_now_ns();
    CHECK(fl_deadline_after_ns(far_ns) < FL_DEADLINE_NEVER);
    CHECK(fl_deadline_after_ns(far_ns) > far_ns);
}

static void
test_timespec_of_deadlines(void)
{
    struct timespec passed = fl_deadline_timespec(FL_DEADLINE_PASSED);
    CHECK_EQUAL(passed.tv_sec, 0);
    CHECK_EQUAL(passed.tv_nsec, 0);
    struct timespec some = fl_deadline_timespec(INT64_C(12345678901));
    CHECK_EQUAL(some.tv_sec, 12);
    CHECK_EQUAL(some.tv_nsec, 345678901);
    struct timespec last = fl_deadline_timespec(FL_DEADLINE_NEVER - 1);
    CHECK(last.tv_sec > INT32_MAX - 1);
    CHECK(last.tv_nsec >= 0 && last.tv_nsec < 1000000000);
}

int
main(void)
{
    RUN(test_now_never_goes_back);
    RUN(test_t39_now_is_the_monotonic_clock);
    RUN(test_deadline_is_timeout_from_now);
    RUN(test_t16_timeouts_without_time_have_passed);
    RUN(test_t16_deadlines_saturate);
    RUN(test_timespec_of_deadlines);
    return 0;
}
