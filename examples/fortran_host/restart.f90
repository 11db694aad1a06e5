! restart.f90: the whole state of a run in one file, the same for any number of ranks.
!
! 8 bytes 'SHALLOW1', then nx, ny, step, numbers remembered a point (4-byte integers), then u, v,
! elevation and the memory as 8-byte reals, x fastest, then y. Rank 0 reads and writes it.
module restart
  use, intrinsic :: iso_fortran_env, only: int32, real64
  use mpi_f08
  use shallow_water, only: setting, band, rows_of
  implicit none
  private

  public :: read_restart, write_restart, gather_rows

  character(len=8), parameter :: magic = 'SHALLOW1'

contains

  subroutine read_restart(file, plane, here, step, state, memory, begun, problem)
    character(len=*), intent(in) :: file
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    integer, intent(out) :: step
    real(real64), intent(inout) :: state(1 - here%halo:, 1 - here%halo:, :), memory(:, :, :)
    logical, intent(out) :: begun                            ! whether the file holds the memory
    character(len=:), allocatable, intent(out) :: problem    ! the same on every rank
    integer(int32) :: head(4)
    real(real64), allocatable :: whole(:, :, :), mine(:, :)
    character(len=8) :: found
    integer :: unit, rank, failed, field, row

    problem = ''
    begun = .false.
    step = 0
    head = 0
    failed = 0
    call MPI_Comm_rank(here%world, rank)
    if (rank == 0) then
      open(newunit=unit, file=file, access='stream', form='unformatted', action='read', &
        status='old', iostat=failed)
      if (failed == 0) read(unit, iostat=failed) found, head
      if (failed == 0 .and. found /= magic) failed = 1
    end if
    call MPI_Bcast(head, 4, MPI_INTEGER, 0, here%world)
    call MPI_Bcast(failed, 1, MPI_INTEGER, 0, here%world)
    if (failed /= 0) then
      problem = trim(file)//' is no restart file of this model; give one that it has written.'
    else if (head(1) /= plane%nx .or. head(2) /= plane%ny) then
      problem = trim(file)//' holds another grid; set nx and ny in the namelist as it was written.'
    else if (head(4) /= 0 .and. head(4) /= size(memory, 1)) then
      problem = trim(file)//' holds the memory of another closure; go on with the one it ran with.'
    end if
    if (problem /= '') return
    step = int(head(3))
    begun = head(4) > 0
    allocate(whole(merge(plane%nx, 0, rank == 0), plane%ny, 3 + head(4)), &
      mine(plane%nx, here%rows))
    if (rank == 0) then
      read(unit, iostat=failed) whole
      close(unit)
    end if
    call MPI_Bcast(failed, 1, MPI_INTEGER, 0, here%world)
    if (failed /= 0) then
      problem = trim(file)//' is cut off; copy it again.'
      return
    end if
    do field = 1, 3
      call scatter_rows(plane, here, whole(:, :, field), mine)
      state(1:plane%nx, 1:here%rows, field) = mine
    end do
    do row = 1, int(head(4))
      call scatter_rows(plane, here, whole(:, :, 3 + row), mine)
      memory(row, :, :) = mine
    end do
  end subroutine read_restart

  subroutine write_restart(file, plane, here, step, state, memory, problem)
    character(len=*), intent(in) :: file
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    integer, intent(in) :: step
    real(real64), intent(in) :: state(1 - here%halo:, 1 - here%halo:, :), memory(:, :, :)
    character(len=:), allocatable, intent(out) :: problem
    real(real64), allocatable :: whole(:, :)
    integer :: unit, rank, failed, field

    call MPI_Comm_rank(here%world, rank)
    failed = 0
    if (rank == 0) then
      open(newunit=unit, file=file, access='stream', form='unformatted', action='write', &
        status='replace', iostat=failed)
      if (failed == 0) write(unit, iostat=failed) magic, &
        int([plane%nx, plane%ny, step, size(memory, 1)], int32)
    end if
    allocate(whole(merge(plane%nx, 0, rank == 0), plane%ny))
    do field = 1, 3 + size(memory, 1)
      if (field <= 3) then
        call gather_rows(plane, here, state(1:plane%nx, 1:here%rows, field), whole)
      else
        call gather_rows(plane, here, memory(field - 3, :, :), whole)
      end if
      if (rank == 0 .and. failed == 0) write(unit, iostat=failed) whole
    end do
    if (rank == 0) close(unit)
    call MPI_Bcast(failed, 1, MPI_INTEGER, 0, here%world)
    problem = ''
    if (failed /= 0) problem = trim(file)//' cannot be written; check the folder and the disk.'
  end subroutine write_restart

  ! Bring the rows of all ranks together on rank 0; elsewhere `whole` is empty.
  subroutine gather_rows(plane, here, mine, whole)
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    real(real64), intent(in), contiguous :: mine(:, :)      ! (values, rows)
    real(real64), intent(inout), contiguous :: whole(:, :)  ! (values, ny)
    integer, allocatable :: counts(:), places(:)

    call shares(plane, here, size(mine, 1), counts, places)
    call MPI_Gatherv(mine, size(mine), MPI_DOUBLE_PRECISION, whole, counts, places, &
      MPI_DOUBLE_PRECISION, 0, here%world)
  end subroutine gather_rows

  subroutine scatter_rows(plane, here, whole, mine)
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    real(real64), intent(in), contiguous :: whole(:, :)
    real(real64), intent(inout), contiguous :: mine(:, :)
    integer, allocatable :: counts(:), places(:)

    call shares(plane, here, size(mine, 1), counts, places)
    call MPI_Scatterv(whole, counts, places, MPI_DOUBLE_PRECISION, mine, size(mine), &
      MPI_DOUBLE_PRECISION, 0, here%world)
  end subroutine scatter_rows

  ! How many numbers each rank has, and where they begin.
  subroutine shares(plane, here, values, counts, places)
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    integer, intent(in) :: values
    integer, allocatable, intent(out) :: counts(:), places(:)
    integer :: ranks, rank, first, rows

    call MPI_Comm_size(here%world, ranks)
    allocate(counts(ranks), places(ranks))
    do rank = 0, ranks - 1
      call rows_of(plane%ny, ranks, rank, first, rows)
      counts(rank + 1) = values * rows
      places(rank + 1) = values * first
    end do
  end subroutine shares

end module restart
