/* Each call that the core makes of the system fails once, or from then on, in every operation: faults.h.
 *
 * A lack of resources is reported, and nothing has happened: nobody is queued, nothing is held, nothing is leaked, and
 * the same call succeeds afterwards.  What wakes others never lacks anything.  A call that ends early changes
 * nothing. */

#include <limits.h>

#include "faulty_operations.h"

enum { FOR_EVER = INT_MAX };

/* The calls of one run of an operation that fail. */
typedef struct {
    scene scene;
    faults_kind kind;
    int first, last;
    int calls, failed;
} attempt;

/* In a thread of its own, which has no serial. */
static void *
make_attempt(void *arg)
{
    attempt *self = arg;
    const operation *of = self->scene.operation;
    CHECK_EQUAL(fl_thread_self(), 0);
    faults_plan(self->kind, self->first, self->last);
    int result = of->run(&self->scene);
    self->calls = faults_forget();
    self->failed = faults_failed();
    if (self->kind == FAULTS_SCARCE && self->failed && result != of->done) {
        CHECK_EQUAL(result, of->scarce);
        of->check(&self->scene, false);
        result = of->run(&self->scene);
    }
    CHECK_EQUAL(result, of->done);
    of->check(&self->scene, true);
    return NULL;
}

/* Returns whether a call has failed. */
static bool
runs(attempt *self, const operation *of)
{
    set_up_scene(&self->scene, of);
    int64_t held = faults_held();
    join_thread(start_thread(make_attempt, self));
    of->clean_up(&self->scene);
    CHECK(faults_held() <= held); /* the others' waiters have gone */
    self->scene.operation = NULL;
    return self->failed > 0;
}

/* The first call fails, then the second one, and so on, and so many after it. */
static void
run_all(faults_kind kind, int more)
{
    int64_t held = faults_held();
    for (int i = 0; i < OPERATIONS; i++) {
        attempt self = {.kind = kind};
        do {
            self.first += self.first < 40 ? 1 : self.calls / 16; /* a fork has a thousand, all alike */
            self.last = more == FOR_EVER ? FOR_EVER : self.first + more;
            CHECK(self.first < 10000);
        } while (runs(&self, &operations[i]));
        printf("  %-40s %d calls\n", operations[i].name, self.calls);
        CHECK_EQUAL(faults_held(), held);
    }
}

static void
test_one_call_fails(void)
{
    run_all(FAULTS_SCARCE, 0);
}

static void
test_all_calls_fail_from_then_on(void)
{
    run_all(FAULTS_SCARCE, FOR_EVER);
}

static void
test_one_call_ends_early(void)
{
    run_all(FAULTS_EARLY, 0);
}

static void
test_several_calls_end_early(void)
{
    run_all(FAULTS_EARLY, 9);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    CHECK(fl_thread_register() != 0);
    RUN(test_one_call_fails);
    RUN(test_all_calls_fail_from_then_on);
    RUN(test_one_call_ends_early);
    RUN(test_several_calls_end_early);
    printf("%d operations: %" PRIu64 " calls failed for a lack of resources, %" PRIu64 " ended early\n",
           OPERATIONS,
           atomic_load(&faults_injected[FAULTS_SCARCE]),
           atomic_load(&faults_injected[FAULTS_EARLY]));
    return 0;
}
