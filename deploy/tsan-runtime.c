// Shows ThreadSanitizer what it cannot see, for Swift's own libraries are not instrumented. deploy/tsan preloads it.
// - A contended Mutex is taken and released inside libswiftSynchronization.so. (The uncontended way is compiled into our
//   code, and seen.) Names: swift demangle.
// - What happened before a continuation was resumed happened before its task goes on: libswift_Concurrency.so says so
//   when it has to wake the task, and not when the task has not gone to sleep yet.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

#define SWIFT __attribute__((swiftcall))
#define ASYNC __attribute__((swiftasynccall))
#define CALLER __attribute__((swift_async_context)) void *caller
#define SELF __attribute__((swift_context)) void *self
#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK_SLOW "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

SWIFT void *swift_task_getCurrent(void) __attribute__((weak));
void __tsan_acquire(void *address) __attribute__((weak));
void __tsan_release(void *address) __attribute__((weak));

SWIFT void lock_slow(uint32_t state, SELF) __asm__(LOCK_SLOW);
SWIFT bool try_lock_slow(SELF) __asm__(TRY_LOCK_SLOW);
SWIFT void unlock_slow(SELF) __asm__(UNLOCK_SLOW);

SWIFT void lock_slow(uint32_t state, SELF) {
  SWIFT void (*original)(uint32_t, SELF) = dlsym(RTLD_NEXT, LOCK_SLOW);
  original(state, self);
  if (__tsan_acquire) __tsan_acquire(self);
}

SWIFT bool try_lock_slow(SELF) {
  SWIFT bool (*original)(SELF) = dlsym(RTLD_NEXT, TRY_LOCK_SLOW);
  bool taken = original(self);
  if (taken && __tsan_acquire) __tsan_acquire(self);
  return taken;
}

SWIFT void unlock_slow(SELF) {
  SWIFT void (*original)(SELF) = dlsym(RTLD_NEXT, UNLOCK_SLOW);
  if (__tsan_release) __tsan_release(self);
  original(self);
}

// Not the task's first word, which the runtime's own words to the sanitizer are about.
static void *order_of(void *task) { return (char *)task + 8; }

SWIFT void swift_continuation_resume(void *task) {
  SWIFT void (*original)(void *) = dlsym(RTLD_NEXT, "swift_continuation_resume");
  if (__tsan_release) __tsan_release(order_of(task));
  original(task);
}

SWIFT void swift_continuation_throwingResume(void *task) {
  SWIFT void (*original)(void *) = dlsym(RTLD_NEXT, "swift_continuation_throwingResume");
  if (__tsan_release) __tsan_release(order_of(task));
  original(task);
}

ASYNC void swift_continuation_await(void *continuation, CALLER) {
  ASYNC void (*original)(void *, CALLER) = dlsym(RTLD_NEXT, "swift_continuation_await");
  if (__tsan_acquire) __tsan_acquire(order_of(swift_task_getCurrent()));
  __attribute__((musttail)) return original(continuation, caller);
}
