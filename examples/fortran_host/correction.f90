! correction.f90: what stands between this model and a closure that Closura has shipped.
!
! It loads the file, makes sure that both sides mean the same columns, gathers these from the
! fields, and adds what comes back. Another model would write such a module of its own.
module correction
  use, intrinsic :: iso_fortran_env, only: real64
  use closura
  use shallow_water, only: setting, band
  implicit none
  private

  public :: load_correction, correct, start_memory, advance_memory, wanted_halo, remembered

  character(len=*), parameter :: field_names(3) = [character(len=9) :: 'u', 'v', 'elevation']
  character(len=*), parameter :: field_units(3) = [character(len=5) :: 'm s-1', 'm s-1', 'm']
  character(len=*), parameter :: rate_units(3) = [character(len=9) :: 'm s-1 s-1', 'm s-1 s-1', 'm s-1']

  type(closura_model) :: model
  integer :: radius = 0
  logical :: used = .false.

contains

  ! Load the closure and hold its names and units against what this model hands over.
  subroutine load_correction(file, problem)
    character(len=*), intent(in) :: file
    character(len=:), allocatable, intent(out) :: problem   ! empty where all is well
    character(len=closura_text_length), allocatable :: names(:), units(:)
    integer :: status, field, dx, dy, place

    problem = ''
    used = file /= ''
    if (.not. used) return
    call closura_load(model, file, status, precision=closura_double)
    if (status == closura_ok) then
      do while (3 * (2 * radius + 1)**2 < closura_inputs(model))
        radius = radius + 1
      end do
      if (closura_inputs(model) == 0) radius = 0   ! noise alone reads nothing
      allocate(names(closura_inputs(model)), units(closura_inputs(model)))
      place = 0
      do field = 1, 3
        do dy = -radius, radius
          do dx = -radius, radius
            place = place + 1
            if (place > size(names)) cycle
            names(place) = trim(field_names(field))//'('//shift(dy)//','//shift(dx)//')'
            units(place) = field_units(field)
          end do
        end do
      end do
      call closura_check_inputs(model, names, units, status)
    end if
    if (status == closura_ok) call closura_check_outputs(model, field_names, rate_units, status)
    if (status /= closura_ok) problem = trim(file)//': '//closura_message(status, model)
  end subroutine load_correction

  ! A shift as the file spells it: -1, 0, +1.
  pure function shift(number) result(text)
    integer, intent(in) :: number
    character(len=:), allocatable :: text
    character(len=12) :: digits

    write(digits, '(i0)') number
    text = trim(digits)
    if (number > 0) text = '+'//text
  end function shift

  ! Rows and columns around a point that the closure reads.
  pure integer function wanted_halo()
    wanted_halo = radius
  end function wanted_halo

  ! Numbers that are remembered at each point.
  pure integer function remembered()
    remembered = 0
    if (used) remembered = closura_memory(model)
  end function remembered

  ! Add the closure's tendency. Each thread hands over row after row.
  subroutine correct(plane, here, state, memory, rate, problem)
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    real(real64), intent(in) :: state(1 - here%halo:, 1 - here%halo:, :)
    real(real64), intent(in) :: memory(:, :, :)      ! (number, nx, rows)
    real(real64), intent(inout) :: rate(:, :, :)     ! (nx, rows, field)
    character(len=:), allocatable, intent(out) :: problem
    real(real64) :: columns(closura_inputs(model), plane%nx), found(closura_outputs(model), plane%nx)
    integer :: j, status, worst

    problem = ''
    if (.not. used) return
    worst = closura_ok
    !$omp parallel do private(columns, found, status) reduction(max:worst)
    do j = 1, here%rows
      call gather(plane%nx, j, here%halo, state, columns)
      call closura_predict(model, columns, found, status, memory=memory(:, :, j))
      rate(:, j, :) = rate(:, j, :) + transpose(found)
      worst = max(worst, status)
    end do
    !$omp end parallel do
    if (worst /= closura_ok) problem = closura_message(worst, model)
  end subroutine correct

  ! The columns of a row, each field's square with x fastest, as the file wants them.
  pure subroutine gather(nx, j, halo, state, columns)
    integer, intent(in) :: nx, j, halo
    real(real64), intent(in) :: state(1 - halo:, 1 - halo:, :)
    real(real64), intent(out) :: columns(:, :)
    integer :: i, field, dx, dy, place

    do i = 1, nx
      place = 0
      do field = 1, 3
        do dy = -radius, radius
          do dx = -radius, radius
            place = place + 1
            if (place <= size(columns, 1)) columns(place, i) = state(i + dx, j + dy, field)
          end do
        end do
      end do
    end do
  end subroutine gather

  ! Fill the memory before the first step. A point's numbers depend on its place on the plane.
  subroutine start_memory(plane, here, seed, memory, problem)
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    integer, intent(in) :: seed
    real(real64), intent(inout) :: memory(:, :, :)
    character(len=:), allocatable, intent(out) :: problem

    call refresh(plane, here, seed, 0, memory, problem)
  end subroutine start_memory

  ! Bring the memory one time step further.
  subroutine advance_memory(plane, here, seed, step, memory, problem)
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    integer, intent(in) :: seed, step
    real(real64), intent(inout) :: memory(:, :, :)
    character(len=:), allocatable, intent(out) :: problem

    call refresh(plane, here, seed, step, memory, problem)
  end subroutine advance_memory

  subroutine refresh(plane, here, seed, step, memory, problem)
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    integer, intent(in) :: seed, step
    real(real64), intent(inout) :: memory(:, :, :)
    character(len=:), allocatable, intent(out) :: problem
    real(real64) :: normal(size(memory, 1), plane%nx)
    integer :: j, status

    problem = ''
    if (size(memory, 1) == 0) return
    do j = 1, here%rows
      call closura_draw(seed, step, (here%first + j - 1) * plane%nx + 1, normal)
      if (step == 0) then
        call closura_start(model, memory(:, :, j), normal, status)
      else
        call closura_advance(model, memory(:, :, j), normal, status)
      end if
      if (status /= closura_ok) problem = closura_message(status, model)
    end do
  end subroutine refresh

end module correction
