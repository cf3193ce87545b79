/* Setting the core up, with calls of the system that fail: each attempt in a child, since it is done once for a
 * process. */

#include "faulty_operations.h"

#include <limits.h>
#include <sys/mman.h>

enum { BUCKETS = 1024 };

typedef struct {
    int first, last; /* which calls fail */
    int failed, total;
} attempts;

static void
use_the_core(void *arg)
{
    (void)arg;
    fl_mutex mutex = {FL_MUTEX_HELD};
    CHECK(fl_thread_register() != 0);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &mutex, soon_ns(), NULL), FL_LOCK_TIMED_OUT);
    use_every_bucket();
}

/* In a child.  A call that fails once is made again at once; what fails for ever is reported, and works later. */
static void
set_up_with_failures(void *arg)
{
    attempts *self = arg;
    faults_plan(FAULTS_SCARCE, self->first, self->last);
    int error = fl_core_init();
    (void)faults_forget();
    self->failed = faults_failed();
    self->total += self->failed;
    if (self->last > self->first && self->failed) {
        CHECK(error == EAGAIN || error == ENOMEM);
        CHECK_EQUAL(fl_core_init(), 0);
    }
    else {
        CHECK_EQUAL(error, 0);
    }
    CHECK_EQUAL(faults_held(), BUCKETS); /* their mutexes, each once */
    CHECK_EQUAL(fl_core_init(), 0);
    use_the_core(NULL);
    in_child(use_the_core, NULL); /* the handlers are there, and once: they would wait for themselves */
}

static attempts *shared;

/* There is a mutex for each bucket, and all are alike: not each is tried. */
static void
let_each_fail(bool for_ever)
{
    for (int call = 1;; call += call < 10 || call > BUCKETS ? 1 : 53) {
        shared->first = call;
        shared->last = for_ever ? INT_MAX : call;
        in_child(set_up_with_failures, shared);
        if (!shared->failed) {
            CHECK(call > BUCKETS);
            return;
        }
    }
}

static void
test_one_call_fails(void)
{
    let_each_fail(false);
}

static void
test_all_calls_fail_from_then_on(void)
{
    let_each_fail(true);
}

int
main(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    RUN(test_one_call_fails);
    RUN(test_all_calls_fail_from_then_on);
    printf("%d calls have failed while the core was set up\n", shared->total);
    return 0;
}
