/* What the compiler calls: a function before each access to memory, and one in the place of each atomic operation.
 *
 * The code under test is compiled as it is, with -fsanitize=thread, and these functions take the place of that
 * sanitizer's.  So nothing is replaced by hand, and the orderings are those that the compiler has seen. */

#include "engine.h"

#define CALLER __builtin_return_address(0)

/* ---- plain accesses ---- */

#define PLAIN(size)                                   \
    void __tsan_read##size(void *address)             \
    {                                                 \
        ex_memory_used(address, size, false, CALLER); \
    }                                                 \
    void __tsan_write##size(void *address)            \
    {                                                 \
        ex_memory_used(address, size, true, CALLER);  \
    }                                                 \
    void __tsan_unaligned_read##size(void *address)   \
    {                                                 \
        ex_memory_used(address, size, false, CALLER); \
    }                                                 \
    void __tsan_unaligned_write##size(void *address)  \
    {                                                 \
        ex_memory_used(address, size, true, CALLER);  \
    }

/* clang-format off */
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_init(void) {}
void __tsan_func_entry(void *caller) { (void)caller; }
void __tsan_func_exit(void) {}
void __tsan_read_range(void *address, size_t size) { ex_memory_used(address, size, false, CALLER); }
void __tsan_write_range(void *address, size_t size) { ex_memory_used(address, size, true, CALLER); }
/* clang-format on */

/* ---- atomic words ---- */

static bool
acquires(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST ||
           order == __ATOMIC_CONSUME;
}

static bool
releases(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static void
before(ex_op op, const void *word, size_t size, bool writes)
{
    ex_step(op, word, writes);
    if (ex.in_thread) {
        ex_memory_used(word, 0, false, NULL); /* it must live */
        if (writes) {
            ex_memory_changes(word, size);
        }
    }
}

static void
order_change(const void *word, int order)
{
    if (acquires(order)) {
        ex_order_acquire(word);
    }
    if (releases(order)) {
        ex_order_release(word, true);
    }
}

static const char *
order_name(int order)
{
    static const char *const names[] = {
        [__ATOMIC_RELAXED] = "relaxed",
        [__ATOMIC_CONSUME] = "consume",
        [__ATOMIC_ACQUIRE] = "acquire",
        [__ATOMIC_RELEASE] = "release",
        [__ATOMIC_ACQ_REL] = "acq_rel",
        [__ATOMIC_SEQ_CST] = "seq_cst",
    };
    return names[order];
}

#define HEX "%llx"
#define NUMBER(value) ((unsigned long long)(value))

#define ATOMIC(bits, type)                                                                                           \
    type __tsan_atomic##bits##_load(const volatile type *word, int order)                                            \
    {                                                                                                                \
        before(EX_OP_LOAD, (const void *)word, sizeof(type), false);                                                 \
        if (acquires(order)) {                                                                                       \
            ex_order_acquire((const void *)word);                                                                    \
        }                                                                                                            \
        ex_trace(CALLER, "load %s %p: " HEX, order_name(order), (const void *)word, NUMBER(*word));                  \
        return *word;                                                                                                \
    }                                                                                                                \
    void __tsan_atomic##bits##_store(volatile type *word, type value, int order)                                     \
    {                                                                                                                \
        before(EX_OP_STORE, (const void *)word, sizeof(type), true);                                                 \
        if (releases(order)) {                                                                                       \
            ex_order_release((const void *)word, false);                                                             \
        }                                                                                                            \
        else {                                                                                                       \
            ex_order_forget((const void *)word);                                                                     \
        }                                                                                                            \
        ex_trace(CALLER,                                                                                             \
                 "store %s %p: " HEX " -> " HEX,                                                                     \
                 order_name(order),                                                                                  \
                 (const void *)word,                                                                                 \
                 NUMBER(*word),                                                                                      \
                 NUMBER(value));                                                                                     \
        *word = value;                                                                                               \
    }                                                                                                                \
    type __tsan_atomic##bits##_exchange(volatile type *word, type value, int order)                                  \
    {                                                                                                                \
        before(EX_OP_CHANGE, (const void *)word, sizeof(type), true);                                                \
        order_change((const void *)word, order);                                                                     \
        ex_trace(CALLER,                                                                                             \
                 "exchange %s %p: " HEX " -> " HEX,                                                                  \
                 order_name(order),                                                                                  \
                 (const void *)word,                                                                                 \
                 NUMBER(*word),                                                                                      \
                 NUMBER(value));                                                                                     \
        type seen = *word;                                                                                           \
        *word = value;                                                                                               \
        return seen;                                                                                                 \
    }                                                                                                                \
    type __tsan_atomic##bits##_fetch_add(volatile type *word, type value, int order)                                 \
    {                                                                                                                \
        before(EX_OP_CHANGE, (const void *)word, sizeof(type), true);                                                \
        order_change((const void *)word, order);                                                                     \
        ex_trace(CALLER,                                                                                             \
                 "add %s %p: " HEX " -> " HEX,                                                                       \
                 order_name(order),                                                                                  \
                 (const void *)word,                                                                                 \
                 NUMBER(*word),                                                                                      \
                 NUMBER((type)(*word + value)));                                                                     \
        type seen = *word;                                                                                           \
        *word = (type)(seen + value);                                                                                \
        return seen;                                                                                                 \
    }                                                                                                                \
    static bool swap##bits(volatile type *word, type *expected, type desired, int order, int failed, const void *pc) \
    {                                                                                                                \
        before(EX_OP_CHANGE, (const void *)word, sizeof(type), true);                                                \
        if (*word == *expected) {                                                                                    \
            order_change((const void *)word, order);                                                                 \
            ex_trace(pc,                                                                                             \
                     "swap %s %p: " HEX " -> " HEX,                                                                  \
                     order_name(order),                                                                              \
                     (const void *)word,                                                                             \
                     NUMBER(*word),                                                                                  \
                     NUMBER(desired));                                                                               \
            *word = desired;                                                                                         \
            return true;                                                                                             \
        }                                                                                                            \
        if (acquires(failed)) {                                                                                      \
            ex_order_acquire((const void *)word);                                                                    \
        }                                                                                                            \
        ex_trace(pc,                                                                                                 \
                 "swap %s %p: " HEX ", not " HEX,                                                                    \
                 order_name(failed),                                                                                 \
                 (const void *)word,                                                                                 \
                 NUMBER(*word),                                                                                      \
                 NUMBER(*expected));                                                                                 \
        *expected = *word;                                                                                           \
        return false;                                                                                                \
    }                                                                                                                \
    bool __tsan_atomic##bits##_compare_exchange_strong(                                                              \
        volatile type *word, type *expected, type desired, int order, int failed)                                    \
    {                                                                                                                \
        return swap##bits(word, expected, desired, order, failed, CALLER);                                           \
    }                                                                                                                \
    type __tsan_atomic##bits##_compare_exchange_val(                                                                 \
        volatile type *word, type expected, type desired, int order, int failed)                                     \
    {                                                                                                                \
        (void)swap##bits(word, &expected, desired, order, failed, CALLER);                                           \
        return expected;                                                                                             \
    }

ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)
