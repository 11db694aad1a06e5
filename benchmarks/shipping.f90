! shipping.f90: times closura_predict, and three bare sgemm of the same sizes in turn with it.
!
!   shipping MODEL ROUNDS COLUMNS
!
! prints seconds of loading (and of them the processor's), then a line a round: seconds of closura,
! of sgemm, and the processor's of closura.
program shipping
  use, intrinsic :: iso_fortran_env, only: int64, real32
  use closura
  implicit none
  integer, parameter :: width = 128, values = 158
#ifdef CLOSURA_BLAS
  external :: sgemm
#endif
  type(closura_model) :: model
  real(real32), allocatable :: x(:, :), y(:, :), z(:, :), first(:, :), second(:, :), third(:, :)
  real(real32), allocatable :: a(:, :), b(:, :)
  real :: bare, busy, idle
  integer :: status, number, rounds, columns
  character(len=1024) :: file, text

  call get_command_argument(1, file)
  call get_command_argument(2, text)
  read(text, *) rounds
  call get_command_argument(3, text)
  read(text, *) columns
  bare = now()
  call cpu_time(idle)
  call closura_load(model, trim(file), status, precision=closura_single)
  call cpu_time(busy)
  print *, now() - bare, busy - idle
  if (status /= 0) error stop 1
  allocate(x(values, columns), y(values, columns), z(values, columns))
  allocate(first(width, values), second(width, width), third(values, width))
  allocate(a(width, columns), b(width, columns))
  call random_number(x)
  call random_number(first)
  call random_number(second)
  call random_number(third)
  call once()   ! untimed: pages are touched for the first time
  do number = 1, rounds
    call once()
  end do
  call tell_memory()

contains

  ! The largest resident set so far [kB], where the system tells it.
  subroutine tell_memory()
    integer :: unit, problem

    open(newunit=unit, file='/proc/self/status', action='read', status='old', iostat=problem)
    if (problem /= 0) return
    do
      read(unit, '(a)', iostat=problem) text
      if (problem /= 0) exit
      if (text(1:6) == 'VmHWM:') print '(a)', trim(text)
    end do
  end subroutine tell_memory

  subroutine once()
    real :: start, middle

    start = now()
    call cpu_time(idle)
    call closura_predict(model, x, y, status)
    call cpu_time(busy)
    middle = now()
    bare = 0
#ifdef CLOSURA_BLAS
    call sgemm('N', 'N', width, columns, values, 1.0, first, width, x, values, 0.0, a, width)
    call sgemm('N', 'N', width, columns, width, 1.0, second, width, a, width, 0.0, b, width)
    call sgemm('N', 'N', values, columns, width, 1.0, third, values, b, width, 0.0, z, values)
    bare = now() - middle
#endif
    print *, middle - start, bare, busy - idle
  end subroutine once

  ! Seconds since the first call.
  real function now()
    integer(int64), save :: begin = -1
    integer(int64) :: count, rate

    call system_clock(count, rate)
    if (begin < 0) begin = count
    now = real(real(count - begin, kind(1d0)) / rate)
  end function now
end program shipping
