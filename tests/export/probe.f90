! probe.f90: what the tests ask of the runtime. Every answer is one line on standard output.
program probe
  use, intrinsic :: iso_fortran_env, only: real32, real64
  use, intrinsic :: ieee_exceptions, only: ieee_set_halting_mode, ieee_invalid, ieee_overflow, &
    ieee_divide_by_zero
  use closura
  implicit none
  character(len=1024) :: command, argument

  call get_command_argument(1, command)
  call get_command_argument(2, argument)
  ! Many hosts trap these. Damaged numbers may well lead to them, so `load` does not.
  if (command /= 'load') &
    call ieee_set_halting_mode([ieee_invalid, ieee_overflow, ieee_divide_by_zero], .true.)
  select case (command)
  case ('load')
    call load_all()
  case ('misuse')
    call misuse(trim(argument))
  case ('alike')
    call alike(trim(argument))
  case ('sphere')
    call sphere(trim(argument))
  case ('draw')
    call draw()
  end select

contains

  ! Load every file that standard input names, use what was loaded, and print the status.
  subroutine load_all()
    character(len=1024) :: file
    type(closura_model) :: model
    integer :: status, problem

    do
      read(*, '(a)', iostat=problem) file
      if (problem /= 0) exit
      call closura_load(model, trim(file), status)
      print '(i0, 1x, a)', status, closura_message(status, model)
      if (status == closura_ok) call use_it(model)
    end do
  end subroutine load_all

  subroutine use_it(model)
    type(closura_model), intent(in) :: model
    real(real64), allocatable :: columns(:, :), tendencies(:, :), memory(:, :)
    real(real32), allocatable :: single(:, :)
    integer, allocatable :: flags(:)
    integer :: status, count

    count = 7
    if (product(closura_grid(model)) > 1) count = 2 * min(product(closura_grid(model)), 500)
    allocate(columns(closura_inputs(model), count), tendencies(closura_outputs(model), count))
    allocate(memory(closura_memory(model), count), single(closura_outputs(model), count), flags(count))
    call random_number(columns)
    if (size(columns) > 0) columns(1, merge(3, count, count == 7)) = nothing()
    call closura_draw(1, 2, 3, memory)
    call closura_start(model, memory, memory, status)
    call closura_advance(model, memory, memory, status)
    call closura_predict(model, columns, tendencies, status, memory=memory, flags=flags)
    call closura_predict(model, real(columns, real32), single, status, &
      memory=real(memory, real32), flags=flags)
  end subroutine use_it

  ! Everything a host may get wrong with a model of 5 inputs and 1 output, without memory.
  subroutine misuse(file)
    character(len=*), intent(in) :: file
    type(closura_model) :: model, single, empty
    integer, parameter :: count = 6
    real(real64) :: columns(5, count), tendencies(1, count)
    character(len=8) :: names(5), units(5)
    integer :: status, flags(count)

    call closura_predict(empty, columns, tendencies, status)
    call say('empty', status)
    call closura_load(single, file, status, precision=closura_single)
    columns = 0.5_real64
    call closura_predict(single, columns, tendencies, status)
    call say('precision', status)
    call closura_load(model, file, status, precision=9)
    call say('setting', status)
    call closura_load(model, file, status)
    call closura_predict(model, columns(1:4, :), tendencies, status)
    call say('inputs', status, model)
    call closura_predict(model, columns, columns(1:2, :), status)
    call say('outputs', status, model)
    call closura_predict(model, columns, tendencies(:, 1:2), status)
    call say('columns', status)
    call closura_predict(model, columns, tendencies, status, flags=flags(1:2))
    call say('flags', status)
    call closura_predict(model, columns, tendencies, status, memory=columns)
    call say('memory', status)
    columns(:, 2) = 0.5_real64
    names = ['X(-2)', 'X(-1)', 'X(0) ', 'X(+1)', 'X(+2)']
    units = 'm s-1'
    call closura_check_inputs(model, names, units, status)
    call say('good names', status)
    names(4) = 'X(+9)'
    call closura_check_inputs(model, names, units, status)
    call say('names', status, model)
    names(4) = 'X(+1)'
    units(2) = 'km h-1'
    call closura_check_inputs(model, names, units, status)
    call say('units', status, model)
    call closura_check_outputs(model, ['X'], ['K'], status)
    call say('output units', status, model)
    columns = 0.5_real64
    columns(5, 6) = 1e9_real64
    columns(4, 2) = nothing()
    call closura_predict(model, columns, tendencies, status, flags=flags)
    call say('missing reported', status)
    print '(a, 6i2, 6(1x, l1))', 'flags', flags, ibits(transfer(tendencies, [1_8]), 52, 11) < 2047
    call closura_guard(model, closura_zero, status)
    call closura_predict(model, columns, tendencies, status)
    call say('missing zero', status)
    print '(a, l2, l2)', 'zero', abs(tendencies(1, 2)) <= 0, abs(tendencies(1, 1)) > 0
    call closura_guard(model, closura_pass, status)
    call closura_predict(model, columns, tendencies, status)
    call say('missing passed', status)
    call closura_guard(model, 7, status)
    call say('guard', status)
    call closura_check_inputs(model, names(1:2), units(1:2), status)
    call say('count', status)
    call closura_predict(model, columns(:, 1:0), tendencies(:, 1:0), status)
    call say('no columns', status)
    call closura_free(model)
    call closura_predict(model, columns, tendencies, status)
    call say('freed', status)
    call closura_check_inputs(model, names, units, status)
    call say('freed check', status)
    call closura_guard(model, closura_zero, status)
    call say('freed guard', status)
    call closura_start(model, tendencies, tendencies, status)
    call say('freed start', status)
    call closura_advance(model, tendencies, tendencies, status)
    call say('freed advance', status)
    call closura_load(model, file, status)
    call closura_load(model, file // '.nowhere', status)   ! what was loaded before is gone
    call say('failed load', status)
    call closura_predict(model, columns, tendencies, status)
    call say('after it', status)
  end subroutine misuse

  ! Whether columns get the same bits alone, in pieces, in threads and all at once.
  subroutine alike(file)
    character(len=*), intent(in) :: file
    type(closura_model) :: model
    real(real64), allocatable :: columns(:, :), whole(:, :), parts(:, :)
    real(real32), allocatable :: whole_single(:, :), parts_single(:, :)
    integer :: status, first, last, worst, count, piece

    call closura_load(model, file, status)
    piece = product(closura_grid(model))
    count = 7 * piece
    if (piece == 1) count = 1003
    if (piece == 1) piece = 13
    allocate(columns(closura_inputs(model), count))
    allocate(whole(closura_outputs(model), count), parts(closura_outputs(model), count))
    allocate(whole_single(closura_outputs(model), count), parts_single(closura_outputs(model), count))
    call random_number(columns)
    call closura_predict(model, columns, whole, status)
    call closura_predict(model, real(columns, real32), whole_single, status)
    worst = 0
    !$omp parallel do private(last, status) schedule(dynamic) num_threads(2) reduction(max: worst)
    do first = 1, count, piece
      last = min(first + piece - 1, count)
      call closura_predict(model, columns(:, first:last), parts(:, first:last), status)
      worst = max(worst, status)
      call closura_predict(model, real(columns(:, first:last), real32), &
        parts_single(:, first:last), status)
      worst = max(worst, status)
    end do
    !$omp end parallel do
    print '(i0, 1x, l1, 1x, l1)', worst, all(abs(whole - parts) <= 0), &
      all(abs(whole_single - parts_single) <= 0)
  end subroutine alike

  ! Two spheres, of which the second holds a NaN in its last column, and columns that make none.
  subroutine sphere(file)
    character(len=*), intent(in) :: file
    type(closura_model) :: model
    real(real64), allocatable :: columns(:, :), tendencies(:, :)
    real(real32), allocatable :: single(:, :)
    integer, allocatable :: flags(:)
    integer :: status, count

    call closura_load(model, file, status)
    count = 2 * product(closura_grid(model))
    print '(a, i0, 1x, i0)', 'grid ', closura_grid(model)
    allocate(columns(closura_inputs(model), count), tendencies(closura_outputs(model), count))
    allocate(single(closura_outputs(model), count), flags(count))
    call random_number(columns)
    call closura_predict(model, columns(:, 2:), tendencies(:, 2:), status)
    call say('columns', status, model)
    call closura_predict(model, columns(:, 1:0), tendencies(:, 1:0), status)
    call say('none', status, model)
    columns(1, count) = nothing()
    call closura_predict(model, columns, tendencies, status, flags=flags)
    call say('missing', status, model)
    print '(a, 100i1)', 'flags ', flags
    print '(a, 100l1)', 'finite ', ibits(transfer(tendencies(1, :), [1_8], count), 52, 11) < 2047
    call closura_predict(model, real(columns, real32), single, status, flags=flags)
    call say('single', status, model)
    print '(a, 100i1)', 'flags ', flags
    call closura_free(model)
  end subroutine sphere

  ! Numbers of 2 rows and 3 columns, the first of which is number 5, for seed 11 and step -7.
  subroutine draw()
    real(real64) :: normal(2, 3), later(2, 1)
    real(real32) :: single(2, 3)

    call closura_draw(11, -7, 5, normal)
    call closura_draw(11, -7, 6, later)
    call closura_draw(11, -7, 5, single)
    print '(6(es24.16, 1x))', normal
    print '(l1, 1x, l1)', all(abs(later(:, 1) - normal(:, 2)) <= 0), &
      all(abs(single - real(normal, real32)) <= 0)
  end subroutine draw

  subroutine say(what, status, model)
    character(len=*), intent(in) :: what
    integer, intent(in) :: status
    type(closura_model), intent(in), optional :: model

    print '(a, a, i0, a, a)', what, ': ', status, ' ', closura_message(status, model)
  end subroutine say

  real(real64) function nothing()
    nothing = transfer(9221120237041090560_8, 1.0_real64)
  end function nothing
end program probe
