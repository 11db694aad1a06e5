! driver.f90: repeats the recorded cases with the closure, and says how far it is off.
!
!   driver SOURCE CASES [FOUND]
!
! Leaves with 1 where a difference exceeds what cases.bin allows. With FOUND it also writes what it
! found there. A difference is relative to the largest recorded value of the same output.
program driver
  use, intrinsic :: iso_fortran_env, only: int32, real32, real64, error_unit
  use @MODULE@
  implicit none

  character(len=4096) :: cases_file, found_file
  character(len=8) :: magic
  integer(int32) :: sizes(6)
  integer :: unit, found, problem, case, precision
  real(real64) :: allowed(2), columns(@MODULE@_inputs), y(@MODULE@_outputs)
  real(real32) :: single(@MODULE@_outputs)
  real(real64), allocatable :: given(:, :), wanted(:, :), tendencies(:, :)
  logical :: failed

  call get_command_argument(2, cases_file)
  call get_command_argument(3, found_file)
  open(newunit=unit, file=trim(cases_file), access='stream', form='unformatted', action='read', &
    status='old', iostat=problem)
  if (problem == 0) read(unit, iostat=problem) magic, sizes, allowed
  if (problem /= 0) magic = ''
  if (magic /= 'CLOSCASE' .or. sizes(2) /= @MODULE@_inputs .or. sizes(3) /= @MODULE@_outputs) then
    write(error_unit, '(a)') 'these are no recorded cases of this closure: '//trim(cases_file)
    stop 1
  end if
  allocate(given(@MODULE@_inputs, sizes(5)), wanted(@MODULE@_outputs, sizes(5)))
  allocate(tendencies(@MODULE@_outputs, sizes(5)))
  found = 0
  if (len_trim(found_file) > 0) &
    open(newunit=found, file=trim(found_file), access='stream', form='unformatted', status='replace')
  failed = .false.
  do precision = 2, 1, -1
    read(unit) given, wanted
    do case = 1, size(given, 2)
      columns = given(:, case)
      if (precision == 2) then
        call @MODULE@_tendency(columns, y)
      else
        call @MODULE@_tendency(real(columns, real32), single)
        y = real(single, real64)
      end if
      tendencies(:, case) = y
    end do
    if (found /= 0) write(found) tendencies
    call tell(merge('double', 'single', precision == 2), allowed(precision))
  end do
  if (failed) stop 1

contains

  subroutine tell(name, limit)
    character(len=*), intent(in) :: name
    real(real64), intent(in) :: limit
    real(real64) :: worst, scale
    integer :: row

    worst = 0
    do row = 1, size(wanted, 1)
      scale = maxval(abs(wanted(row, :)))
      if (scale <= 0) scale = 1
      worst = max(worst, maxval(abs(tendencies(row, :) - wanted(row, :))) / scale)
      if (.not. all(abs(tendencies(row, :)) <= huge(worst))) worst = huge(worst)
    end do
    failed = failed .or. .not. worst <= limit
    print '(a, 2x, i0, a, es9.2, a, es8.1, 2x, a)', name, size(wanted, 2), &
      ' cases   largest relative difference', worst, '   allowed', limit, &
      trim(merge('ok    ', 'FAILED', worst <= limit))
  end subroutine tell
end program driver
