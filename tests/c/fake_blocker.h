/* A runtime for the core's tests: it knows whether its thread is attached, and its poll() is what the test wants. */

#ifndef FL_TESTS_FAKE_BLOCKER_H
#define FL_TESTS_FAKE_BLOCKER_H

#include "check.h"
#include "core/blocker.h"

typedef struct {
    fl_blocker base;
    bool (*on_poll)(void *ctx, int polls); /* `polls` counts from 1; NULL: go on */
    void *ctx;
    int polls;
    int detaches;
    bool detached;
} fake_blocker;

static inline bool
fake_poll(fl_blocker *self)
{
    fake_blocker *fake = (fake_blocker *)self;
    CHECK(!fake->detached);
    fake->polls++;
    return fake->on_poll == NULL || fake->on_poll(fake->ctx, fake->polls);
}

static inline void
fake_detach(fl_blocker *self)
{
    fake_blocker *fake = (fake_blocker *)self;
    CHECK(!fake->detached);
    fake->detached = true;
    fake->detaches++;
}

static inline void
fake_attach(fl_blocker *self)
{
    fake_blocker *fake = (fake_blocker *)self;
    CHECK(fake->detached);
    fake->detached = false;
}

static inline fake_blocker
make_fake_blocker(bool interruptible, bool (*on_poll)(void *ctx, int polls), void *ctx)
{
    return (fake_blocker){
        .base = {.poll = fake_poll, .detach = fake_detach, .attach = fake_attach, .interruptible = interruptible},
        .on_poll = on_poll,
        .ctx = ctx,
    };
}

#endif
