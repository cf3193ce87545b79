/* What the scenarios of fork() share. */

#ifndef EX_SCENE_FORK_H
#define EX_SCENE_FORK_H

#include "scene_queue.h"

/* Forks.  Returns whether it is in the child, where the caller is alone. */
bool scene_fork(void);

/* Whether this is the child of a fork.  For checks, too. */
bool scene_is_child(void);

/* Whether a thread is in scene_fork(): then the handlers may have done half of their work.  For checks. */
bool scene_is_forking(void);

/* In the child: a new thread that attaches, calls body(), and detaches. */
void scene_start(int thread, void (*body)(int thread));

#endif
