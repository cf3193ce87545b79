/* The memory of a run: the data of the program, the heap and the stacks (X2).
 *
 * Every access of the code under test is reported here.  A write marks the line that it changes, so that only those
 * lines are restored and hashed.  An access to memory that its owner has given up fails the run: freed blocks, objects
 * of the system that were destroyed, and frames of another thread that has returned from them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine.h"

extern unsigned char __data_start[], _end[];

enum { LINE = 64, HEAP_SIZE = 64 * 1024, ALIGNMENT = 16, BORN = 0xCD, DEAD = 0xDD };

static unsigned char *const HEAP = (unsigned char *)0x100000000000;

static unsigned char *data_begin;
static size_t data_size, data_lines;
static unsigned char *data_image; /* as it was before the first run */
static unsigned char *is_dirty;   /* by line */
static uint32_t *dirty;           /* the numbers of those lines */
static size_t dirty_count;

static size_t heap_used;

static bool *shared_frames; /* by line of the stacks */

enum { POISONED_MAX = 256 };
static struct {
    const unsigned char *begin;
    size_t size;
} poisoned[POISONED_MAX];
static int poisoned_count;

/* X3 */
enum { WORDS = 1 << 13 };

typedef struct {
    const void *object;
    uint64_t run;
    uint8_t users; /* a bit for each thread */
    bool is_written;
    bool is_shared; /* stays from run to run */
} word_use;

static word_use *words;

void *
ex_reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("explore: mmap");
        exit(2);
    }
    return memory;
}

/* The explorer's own variables lie in the program's data, too.  Nobody reports writes to them, so they are neither
 * restored nor hashed. */
void
ex_memory_init(void)
{
    data_begin = (unsigned char *)((uintptr_t)__data_start & ~(uintptr_t)(LINE - 1));
    data_lines = (size_t)(_end - data_begin) / LINE + 1;
    data_size = data_lines * LINE;
    data_image = ex_reserve(data_size);
    is_dirty = ex_reserve(data_lines);
    dirty = ex_reserve(data_lines * sizeof *dirty);
    memcpy(data_image, data_begin, (size_t)(_end - data_begin));
    shared_frames = ex_reserve((size_t)EX_COROUTINES * EX_STACK_SIZE / LINE);
    words = ex_reserve(WORDS * sizeof *words);
    ex_races_init(data_size + HEAP_SIZE + (size_t)(ex_stack_end(EX_COROUTINES - 1) - ex_stack_begin(0)));
    void *got = mmap(HEAP, HEAP_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != HEAP) {
        fprintf(stderr, "explore: no heap at %p\n", (void *)HEAP);
        exit(2);
    }
}

void
ex_memory_restore(void)
{
    for (size_t i = 0; i < dirty_count; i++) {
        size_t line = dirty[i];
        memcpy(data_begin + line * LINE, data_image + line * LINE, LINE);
        is_dirty[line] = 0;
    }
    dirty_count = 0;
    memset(HEAP, 0, heap_used);
    heap_used = 0;
    poisoned_count = 0;
}

/* ---- where an address is ---- */

static bool
is_data(const unsigned char *address)
{
    return (size_t)(address - data_begin) < data_size;
}

static bool
is_heap(const unsigned char *address)
{
    return (size_t)(address - HEAP) < HEAP_SIZE;
}

static bool
is_stack(const unsigned char *address)
{
    return address >= ex_stack_begin(0) && address < ex_stack_end(EX_COROUTINES - 1);
}

static int
stack_of(const unsigned char *address)
{
    return (int)((address - ex_stack_begin(0)) / (ex_stack_end(0) - ex_stack_begin(0)));
}

static void
mark_dirty(const unsigned char *address, size_t size)
{
    for (size_t line = (size_t)(address - data_begin) / LINE; line <= (size_t)(address + size - 1 - data_begin) / LINE;
         line++) {
        if (!is_dirty[line]) {
            is_dirty[line] = 1;
            dirty[dirty_count++] = (uint32_t)line;
        }
    }
}

void
ex_memory_changes(const void *address, size_t size)
{
    if (is_data(address)) {
        mark_dirty(address, size);
    }
}

static void
must_live(const unsigned char *address, size_t size)
{
    bool is_own = is_stack(address) && stack_of(address) == ex.current;
    for (int i = 0; i < poisoned_count; i++) {
        if (address >= poisoned[i].begin + poisoned[i].size || poisoned[i].begin >= address + (size ? size : 1)) {
            continue;
        }
        if (is_own) {
            poisoned[i--] = poisoned[--poisoned_count]; /* another frame lies there now */
        }
        else {
            EX_FAIL("thread %d touches %p, whose owner has given it up", ex.current, (const void *)address);
        }
    }
    if (is_stack(address)) {
        int owner = stack_of(address);
        if (owner != ex.current && ex.thread[owner].status == EX_READY &&
            address < (const unsigned char *)ex.thread[owner].sp) {
            EX_FAIL("thread %d touches %p, a frame that thread %d has left", ex.current, (const void *)address, owner);
        }
        if (owner != ex.current && ex.thread[owner].status == EX_ENDED) {
            EX_FAIL("thread %d touches %p on the stack of thread %d, which has ended",
                    ex.current,
                    (const void *)address,
                    owner);
        }
    }
}

/* X3, for stacks: whether another thread than the owner has ever touched one of these lines. */
static bool
is_shared_frame(const unsigned char *address, size_t size)
{
    size_t first = (size_t)(address - EX_STACKS) / LINE;
    size_t last = (size_t)(address + (size ? size - 1 : 0) - EX_STACKS) / LINE;
    bool is_shared = false;
    for (size_t line = first; line <= last; line++) {
        if (!shared_frames[line] && stack_of(address) != ex.current) {
            shared_frames[line] = true;
            ex.restarts = true;
        }
        is_shared |= shared_frames[line];
    }
    return is_shared;
}

void
ex_memory_used(const void *where, size_t size, bool writes, const void *pc)
{
    const unsigned char *address = where;
    size_t cell;
    (void)pc;
    if (!ex.in_thread) {
        return;
    }
    if ((uintptr_t)address < LINE * LINE) {
        EX_FAIL("thread %d follows a pointer to %p", ex.current, where);
    }
    if (is_data(address)) {
        if (writes) {
            mark_dirty(address, size);
        }
        cell = (size_t)(address - data_begin);
    }
    else if (is_stack(address)) {
        if (!is_shared_frame(address, size)) {
            return;
        }
        cell = data_size + HEAP_SIZE + (size_t)(address - ex_stack_begin(0));
    }
    else if (is_heap(address)) {
        cell = data_size + (size_t)(address - HEAP);
    }
    else {
        return; /* a thread-local variable, a constant, or something of the C library */
    }
    must_live(address, size);
    if (ex.current < EX_THREADS_MAX) {
        for (size_t i = 0; i < size; i++) {
            ex_race_plain(cell + i, ex.current, writes, address + i);
        }
    }
}

void
ex_memory_poison(const void *address, size_t size, bool poisons)
{
    for (int i = 0; i < poisoned_count; i++) {
        if (poisoned[i].begin == address) {
            poisoned[i] = poisoned[--poisoned_count];
            break;
        }
    }
    if (poisons) {
        if (poisoned_count == POISONED_MAX) {
            EX_FAIL("more than %d objects were given up in one run", POISONED_MAX);
        }
        poisoned[poisoned_count].begin = address;
        poisoned[poisoned_count++].size = size;
    }
}

static void
forget_poison(const unsigned char *begin, size_t size)
{
    for (int i = 0; i < poisoned_count; i++) {
        if (poisoned[i].begin >= begin && poisoned[i].begin < begin + size) {
            poisoned[i--] = poisoned[--poisoned_count];
        }
    }
}

/* ---- the heap ---- */

/* No block is used again in the same run, so whoever comes too late always finds it poisoned. */
void *
ex_heap_allocate(size_t size)
{
    size_t whole = (size + 2 * ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (heap_used + whole > HEAP_SIZE) {
        EX_FAIL("a run needs more than %d bytes of heap", HEAP_SIZE);
    }
    unsigned char *block = HEAP + heap_used + ALIGNMENT;
    heap_used += whole;
    memcpy(block - ALIGNMENT, &size, sizeof size);
    memset(block, BORN, size);
    ex.blocks++;
    return block;
}

void
ex_heap_free(void *block)
{
    size_t size;
    memcpy(&size, (unsigned char *)block - ALIGNMENT, sizeof size);
    if (!is_heap(block) || size == SIZE_MAX) {
        EX_FAIL("free(%p): it is not allocated", block);
    }
    forget_poison(block, size); /* what was destroyed inside */
    ex_memory_used(block, size, true, NULL);
    memset(block, DEAD, size);
    ex_memory_poison(block, size, true);
    ex.blocks--;
    size = SIZE_MAX;
    memcpy((unsigned char *)block - ALIGNMENT, &size, sizeof size);
}

/* ---- the state ---- */

static inline uint64_t
mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)(a ^ UINT64_C(0x9E3779B97F4A7C15)) * (b ^ UINT64_C(0xD1B54A32D192ED03));
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t
hash_bytes(uint64_t hash, const void *memory, size_t size)
{
    const unsigned char *bytes = memory;
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = mix(hash, word);
    }
    for (; size > 0; bytes++, size--) {
        hash = mix(hash, *bytes);
    }
    return hash;
}

static uint64_t
hash_thread(uint64_t hash, const ex_thread *thread, int number)
{
    hash = mix(hash, (uint64_t)thread->status);
    if (thread->status != EX_READY) {
        return hash;
    }
    hash = mix(hash, (uint64_t)thread->op | (uint64_t)thread->wake << 8 | (uint64_t)thread->signalled << 16);
    hash = mix(hash, (uintptr_t)thread->object);
    hash = mix(hash, (uint64_t)thread->deadline_ns);
    hash = mix(hash, (uintptr_t)thread->specific);
    hash = hash_bytes(hash, thread->tls, EX_TLS_MAX);
    return hash_bytes(hash, thread->sp, (size_t)(ex_stack_end(number) - (unsigned char *)thread->sp));
}

uint64_t
ex_memory_hash(void)
{
    uint64_t lines = 0; /* a sum: the order in which they were written does not matter */
    for (size_t i = 0; i < dirty_count; i++) {
        const unsigned char *line = data_begin + (size_t)dirty[i] * LINE;
        if (memcmp(line, data_image + (size_t)dirty[i] * LINE, LINE) != 0) {
            lines += hash_bytes(dirty[i], line, LINE);
        }
    }
    uint64_t hash = mix(lines, heap_used);
    hash = hash_bytes(hash, HEAP, heap_used);
    for (int i = 0; i < ex.threads; i++) {
        hash = hash_thread(hash, &ex.thread[i], i);
    }
    hash = mix(hash, (uint64_t)ex.now_ns);
    /* Who ran last, and how often it was preempted, matters only where that is limited. */
    ex_limits used = ex.used;
    bool matters = ex.limits.preemptions < EX_UNLIMITED && ex.current >= 0 && ex_can_go_on(&ex.thread[ex.current]);
    used.preemptions = ex.limits.preemptions < EX_UNLIMITED ? used.preemptions : 0;
    hash = mix(hash, matters ? (uint64_t)(ex.current + 1) : 0);
    return hash_bytes(hash, &used, sizeof used);
}

/* ---- which words are shared (X3) ---- */

void
ex_shared_forget(void)
{
    memset(words, 0, WORDS * sizeof *words);
    memset(shared_frames, 0, (size_t)EX_COROUTINES * EX_STACK_SIZE / LINE);
}

bool
ex_is_step(const void *object, bool writes)
{
    size_t i = ((uintptr_t)object * UINT64_C(0x9E3779B97F4A7C15)) >> 51;
    while (words[i].object != NULL && words[i].object != object) {
        i = (i + 1) % WORDS;
    }
    word_use *use = &words[i];
    use->object = object;
    if (use->is_shared) {
        return true;
    }
    if (use->run != ex.run) {
        use->run = ex.run;
        use->users = 0;
        use->is_written = false;
    }
    use->users |= (uint8_t)(1 << ex.current);
    use->is_written |= writes;
    if (use->is_written && (use->users & (use->users - 1)) != 0) {
        use->is_shared = true;
        ex.restarts = true;
        return true;
    }
    return false;
}
