! host.f90: a small ocean that runs with a closure.
!
!   mpirun -np 2 ./host host.nml
!
! Its own time loop (Runge-Kutta of fourth order), namelist, restart files and text output. The
! closure is called at every stage, as in Python; its memory advances once a step.
program host
  use, intrinsic :: iso_fortran_env, only: real64, error_unit
  use mpi_f08
  use shallow_water
  use correction
  use restart
  implicit none

  integer :: nx = 24, ny = 20, wind_waves = 2
  real(real64) :: spacing = 25e3_real64, depth = 500, gravity = 0.2_real64
  real(real64) :: coriolis = 1e-4_real64, wind_stress = 0, dt = 1200
  integer :: steps = 100, report_every = 20, seed = 0
  character(len=1024) :: closure = '', restart_in = '', restart_out = ''
  namelist /ocean/ nx, ny, spacing, depth, gravity, coriolis, wind_stress, wind_waves
  namelist /run/ dt, steps, report_every, seed, closure, restart_in, restart_out

  type(setting) :: plane
  type(band) :: here
  type(MPI_Comm) :: world
  character(len=1024) :: file
  character(len=:), allocatable :: problem
  real(real64), allocatable :: state(:, :, :), memory(:, :, :)
  real(real64), allocatable :: second(:, :, :), third(:, :, :), fourth(:, :, :), rate(:, :, :)
  integer :: rank, ranks, first, rows, begun_at, step
  logical :: begun

  call MPI_Init()
  world = MPI_COMM_WORLD
  call MPI_Comm_rank(world, rank)
  call MPI_Comm_size(world, ranks)
  call get_command_argument(1, file)
  call read_namelist()
  plane = setting(nx, ny, spacing, depth, gravity, coriolis, wind_stress, wind_waves)
  call load_correction(trim(closure), problem)
  call leave_if(problem)
  call rows_of(ny, ranks, ranks - 1, first, rows)
  if (rows < max(1, wanted_halo())) &
    call leave_if('there are too many ranks for ny rows; each needs as many rows as the halo.')
  here = new_band(plane, max(1, wanted_halo()), world)
  call allocate_fields()
  call read_restart(trim(restart_in), plane, here, begun_at, state, memory, begun, problem)
  call leave_if(problem)
  if (.not. begun) call start_memory(plane, here, seed, memory, problem)
  call leave_if(problem)

  if (rank == 0) print '(a8, a10, a24, a24)', 'step', 'days', 'energy [m3 s-2]', 'elevation [m]'
  call report(begun_at)
  do step = begun_at + 1, begun_at + steps
    call advance()
    call advance_memory(plane, here, seed, step, memory, problem)
    call leave_if(problem)
    if (mod(step, report_every) == 0) call report(step)
  end do
  if (restart_out /= '') then
    call write_restart(trim(restart_out), plane, here, begun_at + steps, state, memory, problem)
    call leave_if(problem)
  end if
  call MPI_Finalize()

contains

  subroutine read_namelist()
    integer :: unit, failed

    open(newunit=unit, file=file, action='read', status='old', iostat=failed)
    if (failed == 0) read(unit, nml=ocean, iostat=failed)
    if (failed == 0) read(unit, nml=run, iostat=failed)
    if (failed /= 0) &
      call leave_if(trim(file)//' is no namelist file with &ocean and &run; see host.nml.')
    close(unit)
  end subroutine read_namelist

  subroutine allocate_fields()
    integer :: w

    w = here%halo
    allocate(state(1 - w:nx + w, 1 - w:here%rows + w, 3), memory(remembered(), nx, here%rows))
    allocate(second, third, fourth, source=state)
    allocate(rate(nx, here%rows, 3))
    state = 0
    memory = 0
  end subroutine allocate_fields

  ! One step of the classical Runge-Kutta scheme, put together from the states of its stages.
  subroutine advance()
    call full_tendency(state)
    call stage(second, dt / 2)
    call full_tendency(second)
    call stage(third, dt / 2)
    call full_tendency(third)
    call stage(fourth, dt)
    call full_tendency(fourth)
    associate (x => state(1:nx, 1:here%rows, :), x2 => second(1:nx, 1:here%rows, :), &
      x3 => third(1:nx, 1:here%rows, :), x4 => fourth(1:nx, 1:here%rows, :))
      x = x + (((x2 - x) + 2 * (x3 - x) + (x4 - x)) / 3 + dt / 6 * rate)
    end associate
  end subroutine advance

  subroutine stage(next, length)
    real(real64), intent(inout) :: next(1 - here%halo:, 1 - here%halo:, :)
    real(real64), intent(in) :: length

    next(1:nx, 1:here%rows, :) = state(1:nx, 1:here%rows, :) + length * rate
  end subroutine stage

  subroutine full_tendency(now)
    real(real64), intent(inout) :: now(1 - here%halo:, 1 - here%halo:, :)

    call fill_halo(plane, here, now)
    call tendency(plane, here, now, rate)
    call correct(plane, here, now, memory, rate, problem)
    call leave_if(problem)
  end subroutine full_tendency

  ! Print sums over the plane. They are taken row by row, so that ranks make no difference.
  subroutine report(at)
    integer, intent(in) :: at
    real(real64) :: sums(2, here%rows)
    real(real64), allocatable :: whole(:, :)
    integer :: j

    call fill_halo(plane, here, state)
    do j = 1, here%rows
      sums(1, j) = sum(0.5_real64 * ((depth + state(1:nx, j, level)) * 0.5_real64 &
        * (state(1:nx, j, eastward)**2 + state(2:nx + 1, j, eastward)**2 &
        + state(1:nx, j, northward)**2 + state(1:nx, j + 1, northward)**2) &
        + gravity * state(1:nx, j, level)**2))
      sums(2, j) = sum(state(1:nx, j, level))
    end do
    allocate(whole(2, merge(ny, 0, rank == 0)))
    call gather_rows(plane, here, sums, whole)
    if (rank == 0) print '(i8, f10.3, 2es24.15)', at, at * dt / 86400, sum(whole, 2) / (nx * ny)
  end subroutine report

  ! Stop all ranks where something is wrong, with the line that says what.
  subroutine leave_if(text)
    character(len=*), intent(in) :: text

    if (text == '') return
    write(error_unit, '(a)') 'host: '//text
    call MPI_Abort(world, 1)
  end subroutine leave_if

end program host
