/* What JavaScript cannot do by itself: any system call, by its number, with any argument; other ways into the kernel
 * (32-bit entry); children, threads and races. Nothing here decides anything: the attempts are in the tables beside.
 *
 * Results are the kernel's: negative ones are errno. Buffers and strings are passed as their addresses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <node_api.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST_ARGUMENTS 8

/* The whole call in one place and in registers: a child that shares this stack must not return through a function. */
static inline __attribute__((always_inline)) long raw(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#endif
}

/* Strings stay where they are until the process ends: the kernel may look at them at any time. */
static long argument(napi_env env, napi_value value) {
  napi_valuetype type;
  void *data;
  size_t length;
  bool is;
  napi_typeof(env, value, &type);
  if (type == napi_number) {
    int64_t number;
    napi_get_value_int64(env, value, &number);
    return number;
  }
  if (type == napi_bigint) {
    uint64_t number;
    napi_get_value_bigint_uint64(env, value, &number, &is);
    return (long)number;
  }
  if (type == napi_string) {
    napi_get_value_string_utf8(env, value, NULL, 0, &length);
    char *text = malloc(length + 1);
    napi_get_value_string_utf8(env, value, text, length + 1, &length);
    return (long)text;
  }
  if (type == napi_object) {
    napi_is_buffer(env, value, &is);
    if (is) {
      napi_get_buffer_info(env, value, &data, &length);
      return (long)data;
    }
    napi_is_arraybuffer(env, value, &is);
    if (is) {
      napi_get_arraybuffer_info(env, value, &data, &length);
      return (long)data;
    }
  }
  return 0;
}

static size_t arguments(napi_env env, napi_callback_info info, long *into) {
  napi_value values[MOST_ARGUMENTS];
  size_t count = MOST_ARGUMENTS;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  for (size_t i = 0; i < MOST_ARGUMENTS; i++) into[i] = i < count ? argument(env, values[i]) : 0;
  return count;
}

static napi_value answer(napi_env env, long number) {
  napi_value value;
  if (number > -(1L << 53) && number < (1L << 53))
    napi_create_int64(env, number, &value);
  else
    napi_create_bigint_int64(env, number, &value);
  return value;
}

static napi_value syscall_(napi_env env, napi_callback_info info) {
  long a[MOST_ARGUMENTS];
  arguments(env, info, a);
  return answer(env, raw(a[0], a[1], a[2], a[3], a[4], a[5], a[6]));
}

static napi_value address(napi_env env, napi_callback_info info) {
  long a[MOST_ARGUMENTS];
  napi_value value;
  arguments(env, info, a);
  napi_create_bigint_uint64(env, (uint64_t)a[0], &value);
  return value;
}

/* int80(number, a, b, c): the 32-bit entry, where other numbers mean other calls. */
static napi_value int80(napi_env env, napi_callback_info info) {
  long a[MOST_ARGUMENTS];
  arguments(env, info, a);
#if defined(__x86_64__)
  int result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(a[0]), "b"(a[1]), "c"(a[2]), "d"(a[3]) : "memory", "r8", "r9", "r10", "r11");
  return answer(env, result);
#else
  return answer(env, -ENOSYS);
#endif
}

/* child(action, milliseconds, number, a, b, c, d, e): a call that makes a process. The child acts and is gone:
 * 0 stays for a while, 1 mounts, 2 executes Node, 3 outlives its session. Waits for 1 and 2 and answers the child's
 * status (0 is success); answers the pid, negated errno when there is no child. */
static napi_value child(napi_env env, napi_callback_info info) {
  long a[MOST_ARGUMENTS];
  arguments(env, info, a);
  struct timespec stay = {a[1] / 1000, (a[1] % 1000) * 1000000L};
  const char *const line[] = {"/bin/true", NULL};
  const char *const nothing[] = {NULL};
  long pid = raw(a[2], a[3], a[4], a[5], a[6], a[7], 0);
  if (pid == 0) {
    long status = 0;
    if (a[0] == 1) {
      status = -raw(SYS_mount, (long)"none", (long)"/tmp", (long)"tmpfs", 0, 0, 0);
    } else if (a[0] == 2) {
      status = -raw(SYS_execve, (long)line[0], (long)line, (long)nothing, 0, 0, 0);
    } else {
      if (a[0] == 3) raw(SYS_setsid, 0, 0, 0, 0, 0, 0);
      raw(SYS_nanosleep, (long)&stay, 0, 0, 0, 0, 0);
    }
    raw(SYS_exit_group, status, 0, 0, 0, 0, 0);
  }
  if (pid > 0 && (a[0] == 1 || a[0] == 2)) {
    int status = 0;
    raw(SYS_wait4, pid, (long)&status, 0x40000000 /* __WALL */, 0, 0, 0);
    return answer(env, status == 0 ? pid : -((status >> 8) & 0xff));
  }
  return answer(env, pid);
}

static void *sleeper(void *milliseconds) {
  struct timespec stay = {(long)milliseconds / 1000, ((long)milliseconds % 1000) * 1000000L};
  nanosleep(&stay, NULL);
  return NULL;
}

/* threads(count, milliseconds): how many could be started at once. */
static napi_value threads(napi_env env, napi_callback_info info) {
  long a[MOST_ARGUMENTS], made = 0;
  pthread_t thread;
  pthread_attr_t small;
  arguments(env, info, a);
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
  while (made < a[0] && pthread_create(&thread, &small, sleeper, (void *)a[1]) == 0) made++;
  return answer(env, made);
}

/* grab(bytes, flags): map and touch memory, 4 MiB at a time; how many bytes could be had. */
static napi_value grab(napi_env env, napi_callback_info info) {
  const long step = 4L << 20;
  long a[MOST_ARGUMENTS], had = 0;
  void *piece[1024];
  int pieces = 0;
  arguments(env, info, a);
  while (had < a[0] && pieces < 1024) {
    void *memory = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | (int)a[1], -1, 0);
    if (memory == MAP_FAILED) break;
    memset(memory, 1, step);
    piece[pieces++] = memory;
    had += step;
  }
  while (pieces) munmap(piece[--pieces], step);
  return answer(env, had);
}

/* touch(address, bytes, step, write): read, or write, a byte at each step; how many. */
static napi_value touch(napi_env env, napi_callback_info info) {
  long a[MOST_ARGUMENTS], done = 0;
  arguments(env, info, a);
  for (long at = 0; at < a[1]; at += a[2], done++) {
    volatile unsigned char *byte = (volatile unsigned char *)(a[0] + at);
    if (a[3]) *byte = 1;
    else (void)*byte;
  }
  return answer(env, done);
}

struct race {
  volatile unsigned char *shared;
  unsigned char here[128], there[128];
  long length;
  volatile int over;
};

static void *flip(void *pointer) {
  struct race *race = pointer;
  while (!race->over) {
    memcpy((void *)race->shared, race->there, race->length);
    memcpy((void *)race->shared, race->here, race->length);
  }
  return NULL;
}

/* race(permitted, forbidden, length, milliseconds): connect while another thread writes the address; whether the peer was
 * the forbidden one. */
static napi_value race(napi_env env, napi_callback_info info) {
  static unsigned char shared[128];
  long a[MOST_ARGUMENTS], reached = 0;
  struct timespec now, start;
  struct race race = {.shared = shared, .over = 0};
  pthread_t other;
  arguments(env, info, a);
  race.length = a[2];
  memcpy(race.here, (void *)a[0], a[2]);
  memcpy(race.there, (void *)a[1], a[2]);
  memcpy(shared, race.here, a[2]);
  if (pthread_create(&other, NULL, flip, &race) != 0) return answer(env, -EAGAIN);
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    sched_yield(); /* on one processor, too, the other thread must have its turns */
    unsigned char peer[128];
    socklen_t size = sizeof peer;
    int handle = socket(((struct sockaddr *)race.here)->sa_family, SOCK_STREAM, 0);
    connect(handle, (struct sockaddr *)shared, race.length);
    if (getpeername(handle, (struct sockaddr *)peer, &size) == 0 && memcmp(peer + 2, race.there + 2, 6) == 0) reached++;
    close(handle);
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while (!reached && (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < a[3]);
  race.over = 1;
  pthread_join(other, NULL);
  return answer(env, reached);
}

/* spin(): no JavaScript, no system call, for ever. */
static napi_value spin(napi_env env, napi_callback_info info) {
  for (volatile long forever = 1; forever;) {
  }
  return NULL;
}

static int ends_or_stops_us(long number) {
  switch (number) {
    case SYS_exit: case SYS_exit_group: case SYS_rt_sigreturn: case SYS_munmap: case SYS_rt_sigsuspend:
    case SYS_mprotect: case SYS_mremap: case SYS_close_range: case SYS_brk: case SYS_clone: case SYS_vhangup:
#ifdef SYS_pause
    case SYS_pause: case SYS_fork: case SYS_vfork:
#endif
#ifdef SYS_arch_prctl
    case SYS_arch_prctl: case 335: case 336: /* uretprobe, uprobe: no filter sees them, and they are SIGILL to others */
#endif
      return 1;
    default:
      return 0;
  }
}

/* sweep(results): call every number below the buffer's length / 4 once, with arguments that mean nothing; each result. */
static napi_value sweep(napi_env env, napi_callback_info info) {
  long a[MOST_ARGUMENTS];
  arguments(env, info, a);
  int32_t *results = (int32_t *)a[0];
  for (long number = 0; number < a[1]; number++)
    if (!ends_or_stops_us(number)) results[number] = (int32_t)raw(number, -1, -1, -1, -1, -1, -1);
  return answer(env, a[1]);
}

struct fuzz {
  uint64_t state;
  long rounds, made;
};

static uint64_t next(struct fuzz *fuzz) { /* xorshift64*, Vigna 2016 */
  fuzz->state ^= fuzz->state >> 12;
  fuzz->state ^= fuzz->state << 25;
  fuzz->state ^= fuzz->state >> 27;
  return fuzz->state * 2685821657736338717ULL;
}

static void *fuzz_thread(void *pointer) {
  struct fuzz *fuzz = pointer;
  static const long likely[] = {0, 1, 2, 3, 4, 5, 8, 16, -1, -100, 4096, 1L << 31, 0x7fffffff, 0x80000};
  unsigned char *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (; fuzz->made < fuzz->rounds; fuzz->made++) {
    long number = (long)(next(fuzz) % 480), value[6];
    if (ends_or_stops_us(number)) continue;
    for (int i = 0; i < 6; i++) {
      uint64_t choice = next(fuzz);
      if (choice % 4 == 0) value[i] = likely[(choice >> 8) % (sizeof likely / sizeof *likely)];
      else if (choice % 4 == 1) value[i] = (long)(page + ((choice >> 8) % 61440));
      else if (choice % 4 == 2) value[i] = (long)((choice >> 8) % 4096);
      else value[i] = (long)next(fuzz);
    }
    for (int i = 0; i < 64; i++) page[next(fuzz) % 65536] = (unsigned char)next(fuzz);
    raw(number, value[0], value[1], value[2], value[3], value[4], value[5]);
  }
  return NULL;
}

/* fuzz(seed, rounds, milliseconds): random calls from another thread; how many were made when the time was over (a
 * blocking one ends the thread's work, not ours). */
static napi_value fuzz(napi_env env, napi_callback_info info) {
  static struct fuzz state[4];
  long a[MOST_ARGUMENTS], made = 0;
  pthread_t thread;
  arguments(env, info, a);
  for (int i = 0; i < 4; i++) {
    state[i] = (struct fuzz){.state = (uint64_t)a[0] * 4 + i + 1, .rounds = a[1]};
    pthread_create(&thread, NULL, fuzz_thread, &state[i]);
    pthread_detach(thread);
  }
  sleeper((void *)a[2]);
  for (int i = 0; i < 4; i++) made += state[i].made;
  return answer(env, made);
}

static void add(napi_env env, napi_value to, const char *name, napi_callback function) {
  napi_value value;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value);
  napi_set_named_property(env, to, name, value);
}

#include "numbers.h"

NAPI_MODULE_INIT() {
  napi_value numbers, value;
  napi_create_object(env, &numbers);
  for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
    napi_create_int64(env, named[i].number, &value);
    napi_set_named_property(env, numbers, named[i].name, value);
  }
  napi_set_named_property(env, exports, "numbers", numbers);
  add(env, exports, "syscall", syscall_);
  add(env, exports, "address", address);
  add(env, exports, "int80", int80);
  add(env, exports, "child", child);
  add(env, exports, "threads", threads);
  add(env, exports, "grab", grab);
  add(env, exports, "touch", touch);
  add(env, exports, "race", race);
  add(env, exports, "spin", spin);
  add(env, exports, "sweep", sweep);
  add(env, exports, "fuzz", fuzz);
  return exports;
}
