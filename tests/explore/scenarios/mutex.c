/* core/mutex.h and core/lock_word.h. */

#include "scene.h"

static fl_mutex mutex;
static scene_section section;

static void
check(void)
{
    scene_check_word(&mutex.word);
}

static void
at_rest(void)
{
    scene_check_served(&mutex.word);
}

static void
at_end(void)
{
    scene_check_free(&mutex.word);
}

static void
lock_and_unlock(int thread)
{
    (void)thread;
    scene_begin();
    scene_lock(&mutex);
    scene_enter(&section);
    scene_pause();
    scene_leave(&section);
    scene_unlock(&mutex);
    scene_end();
}

EX_SCENARIO(mutex_two) = {
    .name = "mutex-two",
    .what = "two threads take and release a mutex",
    .threads = 2,
    .run = lock_and_unlock,
    .check = check,
    .at_rest = at_rest,
    .at_end = at_end,
    .quick = {.preemptions = EX_UNLIMITED, .lapses = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 2, .interrupts = 2},
};

EX_SCENARIO(mutex_three) = {
    .name = "mutex-three",
    .what = "three threads take and release a mutex",
    .threads = 3,
    .run = lock_and_unlock,
    .check = check,
    .at_rest = at_rest,
    .at_end = at_end,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 4, .lapses = 1},
};
