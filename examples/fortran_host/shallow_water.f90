! shallow_water.f90: rotating shallow water on a doubly periodic plane, in bands of rows.
!
! The scheme of Sadourny (1975) that conserves energy, on an Arakawa C grid: u lies half a cell to
! the west of the elevation, v half a cell to the south. It is the model ShallowWater of Closura
! without drag and viscosity: these the closure has learned.
module shallow_water
  use, intrinsic :: iso_fortran_env, only: real64
  use mpi_f08
  implicit none
  private

  public :: setting, band, new_band, fill_halo, tendency, rows_of

  integer, parameter, public :: eastward = 1, northward = 2, level = 3   ! fields of a state
  real(real64), parameter :: density = 1025                              ! [kg m-3]

  type :: setting
    integer :: nx = 24, ny = 20             ! points of the whole plane
    real(real64) :: spacing = 25e3_real64   ! [m]
    real(real64) :: depth = 500             ! [m] of the layer at rest
    real(real64) :: gravity = 0.2_real64    ! [m s-2], reduced
    real(real64) :: coriolis = 1e-4_real64  ! [s-1]
    real(real64) :: wind_stress = 0         ! [N m-2]
    integer :: wind_waves = 2               ! of the stress along y
  end type setting

  ! The rows of one rank: first + 1 to first + rows of the plane, and a halo around them.
  type :: band
    integer :: first = 0, rows = 0, halo = 1
    type(MPI_Comm) :: world
    integer :: south = 0, north = 0         ! ranks that hold the rows below and above
    real(real64), allocatable :: wind(:)    ! [m2 s-2] stress over density, by row
  end type band

contains

  ! First row (counted from 0) and number of rows of a rank.
  pure subroutine rows_of(ny, ranks, rank, first, rows)
    integer, intent(in) :: ny, ranks, rank
    integer, intent(out) :: first, rows

    rows = ny / ranks + merge(1, 0, rank < mod(ny, ranks))
    first = rank * (ny / ranks) + min(rank, mod(ny, ranks))
  end subroutine rows_of

  function new_band(plane, halo, world) result(here)
    type(setting), intent(in) :: plane
    integer, intent(in) :: halo
    type(MPI_Comm), intent(in) :: world
    type(band) :: here
    real(real64), parameter :: two_pi = 2 * acos(-1.0_real64)
    integer :: rank, ranks, row

    call MPI_Comm_rank(world, rank)
    call MPI_Comm_size(world, ranks)
    here%world = world
    here%halo = halo
    here%south = modulo(rank - 1, ranks)
    here%north = modulo(rank + 1, ranks)
    call rows_of(plane%ny, ranks, rank, here%first, here%rows)
    allocate(here%wind(here%rows))
    do row = 1, here%rows
      here%wind(row) = plane%wind_stress / density &
        * sin(two_pi * plane%wind_waves * (here%first + row - 0.5_real64) / plane%ny)
    end do
  end function new_band

  ! Bring what lies around the band: rows from the neighbours, columns from the other side.
  subroutine fill_halo(plane, here, state)
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    real(real64), intent(inout) :: state(1 - here%halo:, 1 - here%halo:, :)
    integer :: field, count, nx, rows, w

    nx = plane%nx
    rows = here%rows
    w = here%halo
    count = w * (nx + 2 * w)
    do field = 1, size(state, 3)
      state(1 - w:0, 1:rows, field) = state(nx - w + 1:nx, 1:rows, field)
      state(nx + 1:nx + w, 1:rows, field) = state(1:w, 1:rows, field)
      call MPI_Sendrecv(state(1 - w, rows - w + 1, field), count, MPI_DOUBLE_PRECISION, here%north, &
        field, state(1 - w, 1 - w, field), count, MPI_DOUBLE_PRECISION, here%south, field, &
        here%world, MPI_STATUS_IGNORE)
      call MPI_Sendrecv(state(1 - w, 1, field), count, MPI_DOUBLE_PRECISION, here%south, &
        field, state(1 - w, rows + 1, field), count, MPI_DOUBLE_PRECISION, here%north, field, &
        here%world, MPI_STATUS_IGNORE)
    end do
  end subroutine fill_halo

  ! The tendency of the rows of the band [m s-2, m s-2, m s-1]; the halo must be filled.
  subroutine tendency(plane, here, state, rate)
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    real(real64), intent(in) :: state(1 - here%halo:, 1 - here%halo:, :)
    real(real64), intent(out) :: rate(:, :, :)   ! (nx, rows, field)
    integer :: j

    !$omp parallel do
    do j = 1, here%rows
      call one_row(plane, here, j, state, rate)
    end do
    !$omp end parallel do
  end subroutine tendency

  subroutine one_row(plane, here, j, state, rate)
    type(setting), intent(in) :: plane
    type(band), intent(in) :: here
    integer, intent(in) :: j
    real(real64), intent(in) :: state(1 - here%halo:, 1 - here%halo:, :)
    real(real64), intent(inout) :: rate(:, :, :)
    real(real64) :: across(plane%nx + 1, -1:1)         ! u h [m2 s-1] on faces in the west
    real(real64) :: along(0:plane%nx, 0:1)             ! v h [m2 s-1] on faces in the south
    real(real64) :: vorticity(plane%nx + 1, 0:1)       ! q [m-1 s-1] at corners in the south-west
    real(real64) :: head(0:plane%nx, -1:0)             ! g elevation + kinetic energy [m2 s-2]
    real(real64) :: h(0:plane%nx + 1, -1:1)            ! [m]
    real(real64) :: turning, thick, kinetic, south, north, west, east
    integer :: i, k, nx

    nx = plane%nx
    h = plane%depth + state(0:nx + 1, j - 1:j + 1, level)
    do k = -1, 1
      do i = 1, nx + 1
        across(i, k) = 0.5_real64 * (h(i, k) + h(i - 1, k)) * state(i, j + k, eastward)
      end do
    end do
    do k = 0, 1
      do i = 0, nx
        along(i, k) = 0.5_real64 * (h(i, k) + h(i, k - 1)) * state(i, j + k, northward)
      end do
      do i = 1, nx + 1
        turning = ((state(i, j + k, northward) - state(i - 1, j + k, northward)) &
          - (state(i, j + k, eastward) - state(i, j + k - 1, eastward))) / plane%spacing
        thick = 0.25_real64 * ((h(i, k) + h(i - 1, k)) + (h(i, k - 1) + h(i - 1, k - 1)))
        vorticity(i, k) = (plane%coriolis + turning) / thick
      end do
    end do
    do k = -1, 0
      do i = 0, nx
        kinetic = 0.25_real64 * ((state(i, j + k, eastward)**2 + state(i + 1, j + k, eastward)**2) &
          + (state(i, j + k, northward)**2 + state(i, j + k + 1, northward)**2))
        head(i, k) = plane%gravity * state(i, j + k, level) + kinetic
      end do
    end do
    do i = 1, nx
      south = vorticity(i, 0) * (0.5_real64 * (along(i, 0) + along(i - 1, 0)))
      north = vorticity(i, 1) * (0.5_real64 * (along(i, 1) + along(i - 1, 1)))
      west = vorticity(i, 0) * (0.5_real64 * (across(i, 0) + across(i, -1)))
      east = vorticity(i + 1, 0) * (0.5_real64 * (across(i + 1, 0) + across(i + 1, -1)))
      rate(i, j, eastward) = 0.5_real64 * (south + north) &
        - (head(i, 0) - head(i - 1, 0)) / plane%spacing &
        + here%wind(j) / (0.5_real64 * (h(i, 0) + h(i - 1, 0)))
      rate(i, j, northward) = -0.5_real64 * (west + east) - (head(i, 0) - head(i, -1)) / plane%spacing
      rate(i, j, level) = -((across(i + 1, 0) - across(i, 0)) + (along(i, 1) - along(i, 0))) &
        / plane%spacing
    end do
  end subroutine one_row

end module shallow_water
