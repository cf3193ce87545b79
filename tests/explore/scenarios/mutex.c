/* core/mutex.h and core/lock_word.h: taking and releasing, both policies, and locks that are freed. */

#include <stdlib.h>

#include "scene_mutex.h"

static void
be_inside(void)
{
    scene_enter(&section);
    scene_pause();
    scene_leave(&section);
}

/* ---- taking and releasing ---- */

static void
lock_and_unlock(int thread)
{
    (void)thread;
    scene_begin();
    scene_lock(&mutex);
    be_inside();
    scene_unlock(&mutex);
    scene_end();
}

EX_SCENARIO(mutex_two) = {
    .name = "mutex-two",
    .what = "two threads take and release a mutex",
    .threads = 2,
    .run = lock_and_unlock,
    MUTEX_CHECKS,
    .quick = {.preemptions = EX_UNLIMITED, .lapses = 1, .failures = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 2, .interrupts = 2, .failures = 2},
};

EX_SCENARIO(mutex_three) = {
    .name = "mutex-three",
    .what = "three threads take and release a mutex",
    .threads = 3,
    .run = lock_and_unlock,
    MUTEX_CHECKS,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 4, .lapses = 1},
};

static void
take_part(int thread)
{
    (void)thread;
    scene_begin_numbered();
    scene_lock(&mutex);
    be_inside();
    scene_unlock(&mutex);
    scene_end();
}

EX_SCENARIO(mutex_four) = {
    .name = "mutex-four",
    .what = "four threads take and release a mutex",
    .threads = 4,
    .run = take_part,
    MUTEX_CHECKS,
    .quick = {.preemptions = 1, .lapses = 1},
    .full = {.preemptions = 2, .lapses = 1, .failures = 1},
};

static void
take_part_again(int thread)
{
    (void)thread;
    scene_begin_numbered();
    for (int i = 0; i < 2; i++) {
        scene_lock(&mutex);
        be_inside();
        scene_unlock(&mutex);
    }
    scene_end();
}

EX_SCENARIO(mutex_again) = {
    .name = "mutex-again",
    .what = "two threads take a mutex twice each: one is quicker than the designated waiter",
    .threads = 2,
    .run = take_part_again,
    MUTEX_CHECKS,
    .quick = {.preemptions = 4, .lapses = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 2},
};

EX_SCENARIO(mutex_again_three) = {
    .name = "mutex-again-three",
    .what = "three threads take a mutex twice each: barging, designation and hand-off in turn",
    .threads = 3,
    .run = take_part_again,
    MUTEX_CHECKS,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 3, .lapses = 2},
};

/* ---- whom a release wakes ---- */

static void
release_by_turns(int thread)
{
    scene_begin_numbered();
    for (int i = 0; i < 2; i++) {
        scene_lock(&mutex);
        be_inside();
        if ((thread + i) % 2 == 0) {
            EX_CHECK(fl_mutex_ops.release_all(&mutex, NULL) == 1); /* FL_WAKE_NEXT */
        }
        else {
            scene_unlock(&mutex);
        }
    }
    scene_end();
}

EX_SCENARIO(mutex_policies) = {
    .name = "mutex-policies",
    .what = "three threads release as a condition does and as a lock does, in turn: FL_WAKE_NEXT and FL_WAKE_ONE",
    .threads = 3,
    .run = release_by_turns,
    MUTEX_CHECKS,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 3, .lapses = 2},
};

/* ---- locks that are freed ---- */

static fl_mutex *on_heap;
static int left; /* who has not been inside yet; under the mutex */

static void
check_heap(void)
{
    scene_check_waiters();
}

static void
at_end_heap(void)
{
    EX_CHECK(left == 0);
    scene_check_nothing_left();
}

static void
make_lock(void)
{
    on_heap = malloc(sizeof *on_heap);
    fl_mutex_init(on_heap);
    left = 3;
}

/* The last one frees the lock right after its release, when the others' releases may still be on their way out. */
static void
free_as_last(int thread)
{
    (void)thread;
    scene_begin_numbered();
    fl_mutex *lock = on_heap;
    scene_lock(lock);
    scene_enter(&section);
    bool is_last = --left == 0;
    scene_pause();
    scene_leave(&section);
    scene_unlock(lock);
    if (is_last) {
        free(lock);
    }
    scene_end();
}

EX_SCENARIO(mutex_freed) = {
    .name = "mutex-freed",
    .what = "a mutex is freed by its last holder, right after the release",
    .threads = 3,
    .set_up = make_lock,
    .run = free_as_last,
    .check = check_heap,
    .at_end = at_end_heap,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 4, .lapses = 1},
};

/* The last one to get the lock frees it without releasing it: whoever has released it may still be on its way out. */
static void
free_while_held(int thread)
{
    (void)thread;
    scene_begin_numbered();
    fl_mutex *lock = on_heap;
    scene_lock(lock);
    scene_enter(&section);
    bool is_last = --left == 0;
    scene_pause();
    scene_leave(&section);
    if (is_last) {
        free(lock);
    }
    else {
        scene_unlock(lock);
    }
    scene_end();
}

EX_SCENARIO(mutex_freed_held) = {
    .name = "mutex-freed-held",
    .what = "a mutex is freed as soon as its last waiter has got it",
    .threads = 3,
    .set_up = make_lock,
    .run = free_while_held,
    .check = check_heap,
    .at_end = at_end_heap,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 4, .lapses = 1},
};

/* ---- two locks whose waiters are in one bucket ---- */

enum { CANDIDATES = 2048 };
static fl_mutex candidates[CANDIDATES];
static fl_mutex *neighbours[2];
static scene_section sections[2];

static void
find_neighbours(void)
{
    for (int i = 0; i < CANDIDATES; i++) {
        for (int j = i + 1; j < CANDIDATES; j++) {
            if (fl_bucket_of(&candidates[i]) == fl_bucket_of(&candidates[j])) {
                neighbours[0] = &candidates[i];
                neighbours[1] = &candidates[j];
                return;
            }
        }
    }
    EX_FAIL("no two of %d locks are in one bucket", CANDIDATES);
}

static void
check_neighbours(void)
{
    scene_check_waiters();
    scene_check_lock(&neighbours[0]->word);
    scene_check_lock(&neighbours[1]->word);
}

static void
at_rest_neighbours(void)
{
    scene_check_served(&neighbours[0]->word);
    scene_check_served(&neighbours[1]->word);
}

static void
at_end_neighbours(void)
{
    scene_check_free(&neighbours[0]->word);
    scene_check_free(&neighbours[1]->word);
    scene_check_nothing_left();
}

static void
use_one(int i, int64_t deadline_ns)
{
    if (scene_lock_within(neighbours[i], deadline_ns) == FL_LOCK_ACQUIRED) {
        scene_enter(&sections[i]);
        scene_pause();
        scene_leave(&sections[i]);
        scene_unlock(neighbours[i]);
    }
}

/* Thread 0 takes both locks, two others want the one, and the last wants the other. */
static void
use_neighbours(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        scene_lock(neighbours[0]);
        scene_enter(&sections[0]);
        use_one(1, FL_DEADLINE_NEVER);
        scene_leave(&sections[0]);
        scene_unlock(neighbours[0]);
    }
    else {
        use_one(thread == 3, thread == 1 ? scene_deadline() : FL_DEADLINE_NEVER);
    }
    scene_end();
}

EX_SCENARIO(mutex_neighbours) = {
    .name = "mutex-neighbours",
    .what = "four threads and two mutexes, whose queues are in the same bucket",
    .threads = 4,
    .set_up = find_neighbours,
    .run = use_neighbours,
    .check = check_neighbours,
    .at_rest = at_rest_neighbours,
    .at_end = at_end_neighbours,
    .quick = {.preemptions = 2, .timeouts = 1},
    .full = {.preemptions = 3, .timeouts = 1, .lapses = 1},
};

/* ---- a lock without owner ---- */

static int taken, released; /* how often; each thread counts alone, in its own */
static int taken_by[EX_THREADS_MAX], released_by[EX_THREADS_MAX];

static void
check_ownerless(void)
{
    scene_check_waiters();
    scene_check_word(&mutex.word);
}

static void
at_end_ownerless(void)
{
    taken = released = 0;
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        taken += taken_by[i];
        released += released_by[i];
    }
    EX_CHECK(taken - released == fl_mutex_is_locked(&mutex));
    EX_CHECK(*fl_bucket_queue(fl_bucket_of(&mutex), &mutex) == NULL);
    scene_check_nothing_left();
}

/* Thread 0 releases what it never took, once more often than it can be taken; the others only take, for a while. */
static void
take_or_release(int thread)
{
    scene_begin_numbered();
    for (int i = 0; i < (thread == 0 ? 3 : 1); i++) {
        if (thread == 0) {
            released_by[0] += fl_mutex_unlock(&mutex);
            scene_pause();
        }
        else {
            taken_by[thread] += scene_lock_within(&mutex, scene_deadline()) == FL_LOCK_ACQUIRED;
        }
    }
    scene_end();
}

EX_SCENARIO(mutex_stranger) = {
    .name = "mutex-stranger",
    .what = "a thread releases a mutex that others have taken, and once too often",
    .threads = 3,
    .run = take_or_release,
    .check = check_ownerless,
    .at_rest = mutex_at_rest,
    .at_end = at_end_ownerless,
    .quick = {.preemptions = 2, .timeouts = 1, .lapses = 1},
    .full = {.preemptions = 4, .timeouts = 2, .lapses = 1},
};
