#include "scene_mutex.h"

fl_mutex mutex;
scene_section section;

void
mutex_check(void)
{
    scene_check_waiters();
    scene_check_lock(&mutex.word);
}

void
mutex_at_rest(void)
{
    scene_check_served(&mutex.word);
}

void
mutex_at_end(void)
{
    scene_check_free(&mutex.word);
    scene_check_nothing_left();
}
