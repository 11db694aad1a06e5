! driver.f90: repeats the recorded cases with the shipped closure, and says how far it is off.
!
!   driver MODEL CASES [FOUND]
!
! Leaves with 1 where a difference exceeds what cases.bin allows. With FOUND it also writes what it
! found there. A difference is relative to the largest recorded value of the same output.
program driver
  use, intrinsic :: iso_fortran_env, only: int32, real32, real64, error_unit
  use closura
  implicit none

  type(closura_model) :: model
  character(len=4096) :: model_file, cases_file, found_file
  character(len=8) :: magic
  character(len=closura_text_length), allocatable :: names(:), units(:)
  integer(int32) :: sizes(6)
  integer :: inputs, outputs, remembered, cases, status, unit, found, problem, number, kept
  real(real64) :: allowed(2), worst(2)
  real(real64), allocatable :: columns(:, :), memory(:, :), normal(:, :), wanted(:, :), after(:, :)
  logical :: failed

  call get_command_argument(1, model_file)
  call get_command_argument(2, cases_file)
  call get_command_argument(3, found_file)

  call closura_load(model, trim(model_file), status)
  call check('closura_load')
  inputs = closura_inputs(model)
  outputs = closura_outputs(model)
  remembered = closura_memory(model)

  ! A host writes these down by hand: here they come from the file, so that they must agree.
  allocate(names(inputs), units(inputs))
  do number = 1, inputs
    names(number) = closura_input_name(model, number)
    units(number) = closura_input_units(model, number)
  end do
  call closura_check_inputs(model, names, units, status)
  call check('closura_check_inputs')

  open(newunit=unit, file=trim(cases_file), access='stream', form='unformatted', action='read', &
    status='old', iostat=problem)
  if (problem == 0) read(unit, iostat=problem) magic, sizes, allowed
  if (problem /= 0) call leave('the recorded cases cannot be read: '//trim(cases_file))
  if (magic /= 'CLOSCASE' .or. sizes(1) /= 1) &
    call leave('these are no recorded cases of this version (or of another byte order).')
  if (any(sizes(2:4) /= [inputs, outputs, remembered])) &
    call leave('the recorded cases belong to another model.')
  cases = int(sizes(5))

  allocate(columns(inputs, cases), memory(remembered, cases), normal(remembered, cases))
  allocate(wanted(outputs, cases), after(remembered, cases))
  found = 0
  if (len_trim(found_file) > 0) &
    open(newunit=found, file=trim(found_file), access='stream', form='unformatted', status='replace')

  read(unit, iostat=problem) columns, memory, normal, wanted, after
  if (problem /= 0) call leave('the recorded cases are cut off.')
  call repeat_double()
  read(unit, iostat=problem) columns, memory, normal, wanted, after
  if (problem /= 0) call leave('the recorded cases are cut off.')
  call repeat_single()

  failed = .false.
  kept = cases
  call tell('double', worst(2), allowed(2))
  call tell('single', worst(1), allowed(1))
  if (failed) stop 1

contains

  subroutine repeat_double()
    real(real64), allocatable :: tendencies(:, :)

    allocate(tendencies(outputs, cases))
    call closura_predict(model, columns, tendencies, status, memory=memory)
    call check('closura_predict')
    call closura_advance(model, memory, normal, status)
    call check('closura_advance')
    worst(2) = max(largest(tendencies, wanted), largest(memory, after))
    if (found /= 0) write(found) tendencies, memory
  end subroutine repeat_double

  subroutine repeat_single()
    real(real32), allocatable :: tendencies(:, :), columns_single(:, :), memory_single(:, :)

    allocate(columns_single(inputs, cases), memory_single(remembered, cases))
    allocate(tendencies(outputs, cases))
    columns_single = real(columns, real32)
    memory_single = real(memory, real32)
    call closura_predict(model, columns_single, tendencies, status, memory=memory_single)
    call check('closura_predict')
    call closura_advance(model, memory_single, real(normal, real32), status)
    call check('closura_advance')
    worst(1) = max(largest(real(tendencies, real64), wanted), &
      largest(real(memory_single, real64), after))
    if (found /= 0) write(found) real(tendencies, real64), real(memory_single, real64)
  end subroutine repeat_single

  ! The largest difference, each output relative to its largest wanted value.
  real(real64) function largest(values, expected)
    real(real64), intent(in) :: values(:, :), expected(:, :)
    real(real64) :: scale
    integer :: row

    largest = 0
    do row = 1, size(values, 1)
      scale = maxval(abs(expected(row, :)))
      if (scale <= 0) scale = 1
      largest = max(largest, maxval(abs(values(row, :) - expected(row, :))) / scale)
      if (.not. all(abs(values(row, :)) <= huge(largest))) largest = huge(largest)
    end do
  end function largest

  subroutine tell(precision, difference, limit)
    character(len=*), intent(in) :: precision
    real(real64), intent(in) :: difference, limit
    logical :: held

    held = difference <= limit
    failed = failed .or. .not. held
    print '(a, 2x, i0, a, es9.2, a, es8.1, 2x, a)', precision, kept, &
      ' cases   largest relative difference', difference, '   allowed', limit, &
      trim(merge('ok    ', 'FAILED', held))
  end subroutine tell

  subroutine check(routine)
    character(len=*), intent(in) :: routine

    if (status /= 0) call leave(routine//': '//closura_message(status, model))
  end subroutine check

  subroutine leave(message)
    character(len=*), intent(in) :: message

    write(error_unit, '(a)') message
    stop 1
  end subroutine leave
end program driver
