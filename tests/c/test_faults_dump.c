/* The watchdog of core/dump_later.h, where calls of the system fail. */

#include "core/dump_later.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "core/dump.h"
#include "faulty_operations.h"

static fl_dump_name
no_name(const fl_waiter *waiter)
{
    return (fl_dump_name){.type = "object", .address = waiter};
}

static const fl_dump_plan plan = {.timeout_ns = INT64_C(3600) * 1000 * NS_PER_MS, .fd = 2};

/* A lack of resources is reported; there is no watchdog then, and nothing is left. */
static void
test_it_cannot_be_started(void)
{
    int failed = 0;
    for (int call = 1;; call++) {
        int64_t held = faults_held();
        faults_plan(FAULTS_SCARCE, call, call);
        int error = fl_dump_later(plan);
        (void)faults_forget();
        if (faults_failed() == 0) {
            CHECK_EQUAL(error, 0);
            fl_dump_cancel_later();
            break;
        }
        failed++;
        CHECK(error == ENOMEM || error == EAGAIN);
        CHECK_EQUAL(faults_held(), held);
        CHECK_EQUAL(fl_dump_later(plan), 0);
        fl_dump_cancel_later();
        CHECK_EQUAL(faults_held(), held);
    }
    CHECK(failed >= 3); /* memory, the condition variable, the thread */
    printf("  %d calls have failed\n", failed);
}

static int nowhere;

/* The mutexes that a dump tries are taken at first: it naps, and succeeds; or for ever, and it says so. */
static void
test_the_locks_are_busy(void)
{
    for (int last = 1; last <= 50; last += 7) {
        faults_plan(FAULTS_EARLY, 1, last);
        CHECK_EQUAL(fl_dump_write(nowhere), 0);
        (void)faults_forget();
        CHECK_EQUAL(faults_failed(), last);
    }
    faults_plan(FAULTS_EARLY, 5, INT_MAX);
    CHECK_EQUAL(fl_dump_write(nowhere), 0);
    (void)faults_forget();
    CHECK(faults_failed() > 50);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    fl_dump_init(no_name);
    nowhere = open("/dev/null", O_WRONLY);
    CHECK(nowhere >= 0);
    RUN(test_it_cannot_be_started);
    RUN(test_the_locks_are_busy);
    return 0;
}
