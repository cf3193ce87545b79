/* The scenes of the operations in which calls of the system fail (faults.h): faulty_operations.h lists them all.
 *
 * An operation runs in a scene that is set up by the main thread.  The thread that runs it has no serial yet.  Where
 * it has to be woken this happens in its own detach(): it is queued by then, and whatever wakes it is a call of
 * another thread for the core, except that it is not counted and does not fail. */

#ifndef FL_TESTS_FAULTY_SCENE_H
#define FL_TESTS_FAULTY_SCENE_H

#include "core/barrier.h"
#include "core/cond.h"
#include "core/event.h"
#include "core/mutex.h"
#include "core/rmutex.h"
#include "core/sema.h"
#include "fake_blocker.h"
#include "faults.h"
#include "fork_helpers.h"
#include "lot_helpers.h"

enum { OTHERS = 2 };

/* Since when a waiter has waited that is handed nothing, however long the thread takes that comes. */
#define JUST_CAME INT64_MAX

typedef struct scene scene;

typedef struct {
    const char *name;
    void (*set_up)(scene *self);
    int (*run)(scene *self);               /* a result of the primitive's */
    int done;                              /* the result where nothing has failed */
    int scarce;                            /* the result for a lack of resources, or `done` where it never lacks them */
    void (*check)(scene *self, bool done); /* what is true after one of the two */
    void (*clean_up)(scene *self);         /* after it is done */
    bool needs_thread;
} operation;

/* A runtime whose detach() has another thread do something first. */
typedef struct {
    fake_blocker fake;
    void (*when_queued)(scene *self); /* or NULL */
    scene *scene;
} scene_blocker;

struct scene {
    const operation *operation;
    fl_mutex mutex;
    fl_rmutex rmutex;
    fl_cond cond;
    fl_event event;
    fl_sema sema;
    fl_barrier barrier;
    fl_cond_lock lock;
    fl_waiter others[OTHERS]; /* the main thread plays them */
    scene_blocker blocker;
    fake_blocker back;
    int actions;
    pthread_t helper;
};

static inline void
detach_in_scene(fl_blocker *base)
{
    scene_blocker *self = (scene_blocker *)base;
    void (*act)(scene *self) = self->when_queued;
    fake_detach(base);
    self->when_queued = NULL;
    if (act) {
        faults_pause();
        act(self->scene);
        faults_resume();
    }
}

/* The blocker of a wait that `act` ends; NULL: nobody does. */
static inline fl_blocker *
woken_by(scene *self, void (*act)(scene *self), bool interruptible)
{
    self->blocker = (scene_blocker){make_fake_blocker(interruptible, NULL, NULL), act, self};
    self->blocker.fake.base.detach = detach_in_scene;
    return &self->blocker.fake.base;
}

static inline int64_t
soon_ns(void)
{
    return fl_deadline_after_ns(NS_PER_MS);
}

static inline void
set_up_all(scene *self)
{
    fl_mutex_init(&self->mutex);
    fl_rmutex_init(&self->rmutex);
    fl_cond_init(&self->cond);
    fl_event_init(&self->event);
    fl_sema_init(&self->sema, 0);
    fl_barrier_init(&self->barrier, OTHERS + 1);
    self->lock = (fl_cond_lock){&self->mutex, &fl_mutex_ops};
    self->actions = 0;
}

static inline void
check_queues(scene *self, size_t mutex, size_t rmutex, size_t cond, size_t event, size_t sema, size_t barrier)
{
    CHECK_EQUAL(fl_lot_count(&self->mutex), mutex);
    CHECK_EQUAL(fl_lot_count(&self->rmutex), rmutex);
    CHECK_EQUAL(fl_lot_count(&self->cond), cond);
    CHECK_EQUAL(fl_lot_count(&self->event), event);
    CHECK_EQUAL(fl_lot_count(&self->sema), sema);
    CHECK_EQUAL(fl_lot_count(&self->barrier), barrier);
}

static inline void
check_nobody_waits(scene *self)
{
    check_queues(self, 0, 0, 0, 0, 0, 0);
}

#endif
