#include "scene_barrier.h"

fl_barrier scene_barrier;

static fl_atomic_u32 dealt[EX_THREADS_MAX]; /* how often each index */
static int passed[EX_THREADS_MAX];
static int written[EX_THREADS_MAX];

int
scene_barrier_phase(void)
{
    return (int)(scene_peek_u64(&scene_barrier.word) & 3);
}

int
scene_barrier_count(void)
{
    return (int)(uint32_t)(scene_peek_u64(&scene_barrier.word) >> 2);
}

int
scene_barrier_generation(void)
{
    return (int)(scene_peek_u64(&scene_barrier.word) >> 34);
}

void
scene_barrier_check(void)
{
    if (scene_is_busy(&scene_barrier)) {
        return;
    }
    int arrived = 0;
    int guests = 0;
    (void)scene_queued(&scene_barrier);
    for (const fl_waiter *waiter = scene_first(&scene_barrier); waiter; waiter = waiter->next) {
        arrived += waiter->on_leave != NULL;
        guests += waiter->on_leave == NULL;
    }
    int phase = scene_barrier_phase();
    if (phase == SCENE_OPENED) {
        EX_CHECK(arrived == 0 && guests == 0);
        return;
    }
    EX_CHECK(scene_barrier_count() == arrived + (phase == SCENE_ACTING)); /* B1 */
    EX_CHECK(guests == 0 || phase == SCENE_ACTING);
    EX_CHECK(arrived == 0 || phase != SCENE_BROKEN); /* B2 */
    EX_CHECK(phase != SCENE_FILLING || arrived < (int)scene_barrier.parties);
}

void
scene_barrier_check_empty(void)
{
    EX_CHECK(scene_barrier_phase() != SCENE_ACTING);
    EX_CHECK(scene_barrier_count() == 0);
    EX_CHECK(scene_queued(&scene_barrier) == 0);
}

fl_barrier_result
scene_barrier_wait(int thread, int64_t timeout_ns, fl_barrier_action action)
{
    uint64_t index;
    fl_barrier_result result = fl_barrier_wait(&scene_barrier, timeout_ns, action, &index, scene_blocker());
    if (result == FL_BARRIER_PASSED) {
        EX_CHECK(index < scene_barrier.parties);
        (void)fl_add_relaxed_u32(&dealt[index], 1);
        passed[thread]++;
    }
    return result;
}

void
scene_barrier_check_indices(void)
{
    for (size_t i = 1; i < scene_barrier.parties; i++) {
        EX_CHECK(fl_load_relaxed_u32(&dealt[i]) == fl_load_relaxed_u32(&dealt[0])); /* B3 */
    }
}

int
scene_barrier_passed(int thread)
{
    return passed[thread];
}

void
scene_barrier_write(int thread, int value)
{
    written[thread] = value;
}

int
scene_barrier_read(int thread)
{
    return written[thread];
}
