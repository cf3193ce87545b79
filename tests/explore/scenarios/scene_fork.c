#include "scene_fork.h"

#include "core/lot/spin.h"
#include "core/thread.h"

static int generation; /* 0 in the parent */
static bool is_forking;
static uint64_t serials[EX_THREADS_MAX];

bool
scene_fork(void)
{
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        serials[i] = scene_serial(i);
    }
    uint64_t self = fl_thread_self();
    is_forking = true;
    bool is_child = ex_fork();
    is_forking = false;
    if (!is_child) {
        EX_CHECK(!fl_thread_is_left_behind(self) || generation > 0);
        return false;
    }
    generation++;
    EX_CHECK(fl_thread_self() == self && fl_thread_ident(self) == (uint64_t)ex_self() + 1);
    EX_CHECK(!fl_thread_is_left_behind(self)); /* U4 */
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        if (serials[i] != 0 && i != ex_self()) {
            EX_CHECK(fl_thread_is_left_behind(serials[i]));
            EX_CHECK(fl_thread_ident(serials[i]) == 0);
        }
    }
    EX_CHECK(fl_spin_count() == 0);
    return true;
}

bool
scene_is_child(void)
{
    return generation > 0;
}

bool
scene_is_forking(void)
{
    return is_forking;
}

static void (*bodies[EX_THREADS_MAX])(int thread);

static void
run(int thread)
{
    scene_come();
    EX_CHECK(!fl_thread_is_left_behind(fl_thread_self()));
    bodies[thread](thread);
    scene_end();
}

void
scene_start(int thread, void (*body)(int thread))
{
    bodies[thread] = body;
    scene_runtimes[thread] = (scene_runtime){.on_poll = NULL};
    ex_start(thread, run);
}
