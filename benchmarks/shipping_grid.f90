! shipping_grid.f90: times closura_predict for one sphere.
!
!   shipping_grid MODEL ROUNDS
!
! prints seconds of loading (and of them the processor's), then a line a round: seconds of closura,
! 0 (no bare sgemm beside it), and the processor's; at last the largest memory.
program shipping_grid
  use, intrinsic :: iso_fortran_env, only: int64, real32
  use closura
  implicit none
  type(closura_model) :: model
  real(real32), allocatable :: columns(:, :), tendencies(:, :)
  real :: begin, busy, idle
  integer :: status, number, rounds, count, unit
  character(len=1024) :: file, text

  call get_command_argument(1, file)
  call get_command_argument(2, text)
  read(text, *) rounds
  begin = now()
  call cpu_time(idle)
  call closura_load(model, trim(file), status, precision=closura_single)
  call cpu_time(busy)
  print *, now() - begin, busy - idle
  if (status /= 0) error stop 1
  count = product(closura_grid(model))
  allocate(columns(closura_inputs(model), count), tendencies(closura_outputs(model), count))
  call random_number(columns)
  do number = 0, rounds   ! the first one is not counted: it takes memory
    begin = now()
    call cpu_time(idle)
    call closura_predict(model, columns, tendencies, status)
    call cpu_time(busy)
    print *, now() - begin, 0.0, busy - idle
    if (status /= 0) error stop 1
  end do
  open(newunit=unit, file='/proc/self/status', action='read', status='old', iostat=status)
  do while (status == 0)
    read(unit, '(a)', iostat=status) text
    if (status == 0 .and. text(1:6) == 'VmHWM:') print '(a)', trim(text)
  end do

contains

  ! Seconds since the first call.
  real function now()
    integer(int64), save :: first = -1
    integer(int64) :: count, rate

    call system_clock(count, rate)
    if (first < 0) first = count
    now = real(real(count - first, kind(1d0)) / rate)
  end function now
end program shipping_grid
