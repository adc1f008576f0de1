/* The system calls that attempts make by name, with this architecture's numbers; those of newer kernels than the
 * headers' are the same on every architecture. */
struct named {
  const char *name;
  long number;
};

#define NAMED(name) {#name, SYS_##name}

static const struct named named[] = {
    NAMED(accept4), NAMED(acct), NAMED(add_key), NAMED(adjtimex), NAMED(bind), NAMED(bpf), NAMED(capget),
    NAMED(capset), NAMED(chroot), NAMED(clock_settime), NAMED(clone), NAMED(clone3), NAMED(close), NAMED(connect),
    NAMED(delete_module), NAMED(dup), NAMED(dup3), NAMED(execve), NAMED(execveat), NAMED(exit_group),
    NAMED(fanotify_init), NAMED(fchmodat), NAMED(fchownat), NAMED(fcntl), NAMED(fsopen), NAMED(ftruncate),
    NAMED(getdents64), NAMED(getpeername), NAMED(getpid), NAMED(getppid), NAMED(getsockname), NAMED(getsockopt),
    NAMED(gettid), NAMED(getuid), NAMED(init_module), NAMED(inotify_add_watch), NAMED(inotify_init1),
    NAMED(io_setup), NAMED(io_uring_enter), NAMED(io_uring_register), NAMED(io_uring_setup), NAMED(ioctl),
    NAMED(ioprio_set), NAMED(kcmp), NAMED(kexec_load), NAMED(keyctl), NAMED(kill), NAMED(landlock_create_ruleset),
    NAMED(landlock_add_rule), NAMED(landlock_restrict_self), NAMED(linkat), NAMED(listen), NAMED(lookup_dcookie),
    NAMED(memfd_create), NAMED(migrate_pages), NAMED(mkdirat), NAMED(mknodat), NAMED(mmap), NAMED(mount),
    NAMED(mprotect), NAMED(munmap),
    NAMED(move_mount), NAMED(move_pages), NAMED(mq_open), NAMED(mq_timedreceive), NAMED(mq_timedsend),
    NAMED(mq_unlink), NAMED(msgctl), NAMED(msgget), NAMED(msgrcv), NAMED(msgsnd), NAMED(name_to_handle_at),
    NAMED(nanosleep), NAMED(open_by_handle_at), NAMED(open_tree), NAMED(openat), NAMED(openat2),
    NAMED(perf_event_open), NAMED(personality), NAMED(pidfd_getfd), NAMED(pidfd_open), NAMED(pidfd_send_signal),
    NAMED(pipe2), NAMED(pivot_root), NAMED(prctl), NAMED(pread64), NAMED(prlimit64), NAMED(process_madvise),
    NAMED(process_vm_readv), NAMED(process_vm_writev), NAMED(ptrace), NAMED(pwrite64), NAMED(quotactl), NAMED(read),
    NAMED(reboot), NAMED(recvfrom), NAMED(recvmmsg), NAMED(recvmsg), NAMED(renameat2), NAMED(request_key),
    NAMED(rt_sigqueueinfo), NAMED(rt_tgsigqueueinfo), NAMED(sched_setaffinity), NAMED(sched_setattr),
    NAMED(sched_setscheduler), NAMED(seccomp), NAMED(semctl), NAMED(semget), NAMED(sendmmsg), NAMED(sendmsg),
    NAMED(sendto), NAMED(set_mempolicy), NAMED(setdomainname), NAMED(setgid), NAMED(setgroups), NAMED(sethostname),
    NAMED(setns), NAMED(setpgid), NAMED(setpriority), NAMED(setresgid), NAMED(setresuid), NAMED(setrlimit),
    NAMED(setsid), NAMED(setsockopt), NAMED(setuid), NAMED(shmat), NAMED(shmctl), NAMED(shmget), NAMED(shutdown),
    NAMED(socket), NAMED(socketpair), NAMED(splice), NAMED(swapon), NAMED(symlinkat), NAMED(syslog), NAMED(tgkill),
    NAMED(timer_create), NAMED(tkill), NAMED(umount2), NAMED(uname), NAMED(unlinkat), NAMED(unshare),
    NAMED(userfaultfd), NAMED(vmsplice), NAMED(wait4), NAMED(write),
#ifdef SYS_fork
    NAMED(fork), NAMED(vfork), NAMED(arch_prctl), NAMED(iopl), NAMED(ioperm), NAMED(modify_ldt),
#endif
};
