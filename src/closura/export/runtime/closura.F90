! closura.F90: runs a closure that Closura has learned inside a Fortran model.
!
! One file, Fortran 2008, no library. With -DCLOSURA_BLAS dense layers call sgemm and dgemm; with
! -DCLOSURA_ONNX (and closura_onnx.F90 before this file) graphs of ONNX run through ONNX Runtime.
!
!   use closura
!   type(closura_model) :: correction
!   call closura_load(correction, 'network.closura', status)
!   call closura_predict(correction, columns, tendencies, status)
!
! columns is (inputs, columns) and tendencies (outputs, columns), both real32 or both real64.
! Every status that is not 0 has a message: closura_message(status). Nothing here stops the program.
! Where columns see others, columns are those of whole spheres: closura_grid tells how many.
! A loaded model is only read: any number of threads may share it. Predicting allocates nothing
! (ONNX Runtime does, and so does handing columns to it; where columns see others the first call of
! a thread does: where threads call it, compile this file with OpenMP). It takes 0.7 MB of the
! calling thread's stack, and 1.3 MB for real32 columns of a file that says to compute in double
! precision; raise OMP_STACKSIZE where threads have less.
module closura
  use, intrinsic :: iso_fortran_env, only: int32, int64, real32, real64
#ifdef CLOSURA_ONNX
  use closura_onnxruntime, only: onnx_session, onnx_open, onnx_close, onnx_run, onnx_no_memory
#endif
  implicit none
  private

  public :: closura_model
  public :: closura_load, closura_free, closura_predict, closura_message, closura_guard
  public :: closura_check_inputs, closura_check_outputs
  public :: closura_inputs, closura_outputs, closura_memory, closura_about, closura_grid
  public :: closura_input_name, closura_input_units, closura_output_name, closura_output_units
  public :: closura_start, closura_advance, closura_draw

  ! Which copies of the numbers closura_load keeps.
  integer, parameter, public :: closura_single = 1, closura_double = 2, closura_both = 3
  ! What closura_predict does with a column that holds NaN or infinity: its tendencies are NaN and
  ! the status tells (report), they are zero (zero), or they are NaN and the status is 0 (pass).
  integer, parameter, public :: closura_report = 0, closura_zero = 1, closura_pass = 2
  ! Bits of the flags of a column.
  integer, parameter, public :: closura_flag_missing = 1, closura_flag_outside = 2, &
    closura_flag_novel = 4
  ! Length of names and units.
  integer, parameter, public :: closura_text_length = 120

  ! Kinds of status; a status is the kind plus 1000 times a number that belongs to it.
  integer, parameter, public :: closura_ok = 0, closura_cannot_open = 1, closura_cannot_read = 2, &
    closura_truncated = 3, closura_foreign = 4, closura_other_format = 5, closura_damaged = 6, &
    closura_contradictory = 7, closura_unknown_operation = 8, closura_too_wide = 9, &
    closura_out_of_memory = 10, closura_needs_onnx = 11, closura_onnx_refused = 12, &
    closura_not_loaded = 20, closura_wrong_inputs = 21, &
    closura_wrong_outputs = 22, closura_wrong_columns = 23, closura_wrong_precision = 24, &
    closura_wrong_memory = 25, closura_wrong_flags = 26, closura_wrong_normal = 27, &
    closura_wrong_setting = 28, closura_wrong_sphere = 29, &
    closura_not_finite = 30, closura_wrong_name_count = 40, &
    closura_wrong_input_name = 41, closura_wrong_input_units = 42, &
    closura_wrong_output_name = 43, closura_wrong_output_units = 44

  integer, parameter :: oldest_format = 1, format_version = 3
  integer(int32), parameter :: magic(2) = [1397705795_int32, 440488533_int32]  ! 'CLOS' 'URA' 26
  integer(int32), parameter :: mark = 16909060_int32, swapped_mark = 67305985_int32
  integer(int32), parameter :: done = 1162760004_int32                         ! 'DONE'
  integer, parameter :: head_words = 8, tail_words = 2
  integer, parameter :: usual_sections = 1000   ! of more there must be proof before room is made
  integer(int32), parameter :: not_finite = 2139095040_int32   ! bits of infinity in single precision
  integer, parameter :: op_select = 10, op_standardise = 11, op_restore = 12, op_dense = 13, &
    op_polynomial = 14, op_trees = 15, op_add = 16, op_noise = 17, op_rounds = 18, &
    op_clip = 19, op_novelty = 20, op_finite = 21, op_onnx = 30, op_around = 40, op_image = 41, &
    op_convolve = 42, op_coarsen = 43, op_refine = 44, op_merge = 45, op_mesh = 46, op_tell = 47, &
    op_hear = 48

  integer, parameter :: op_support = 25   ! an op_novelty once it is read

  ! Panels lie on the stack: a block of columns before and after an operation.
  integer, parameter :: buffer = 32768          ! numbers in a panel
  integer, parameter :: widest = 8192           ! rows of a panel, so that 4 columns fit
  integer, parameter :: longest_block = 1024    ! columns in a block
  integer, parameter :: group = 4               ! columns that are multiplied together
  integer, parameter :: rows_single = 16, rows_double = 8  ! rows that are multiplied together
  integer, parameter :: accumulators = 256      ! outputs of trees that are summed together
  integer, parameter :: herd = 16               ! columns that go down a tree together
  integer, parameter :: flock = 8               ! trees whose leaves are fetched together
  integer, parameter :: words_at_once = 65536   ! of a file that is read
  integer, parameter :: largest_grid = 67108864 ! columns of a sphere
  integer, parameter :: most_halvings = 16      ! of an image

  type :: column_text
    character(len=closura_text_length) :: name = '', units = ''
  end type column_text

  ! What one decision needs lies together: going down a tree is waiting for memory.
  type :: tree_node
    real(real32) :: threshold = 0
    integer(int32) :: feature = 1, left = 1
  end type tree_node

  type :: operation
    integer :: kind = 0, inputs = 0, outputs = 0, activation = 0, terms = 0, trees = 0
    logical :: horner = .false., identity = .false.
    real(real64) :: divisor = 1
    integer(int32), allocatable :: indices(:)          ! inputs, outputs, roots of trees
    integer(int32), allocatable :: leaf(:), exponents(:, :)   ! leaf: its column of values
    type(tree_node), allocatable :: nodes(:)
    real(real32), allocatable :: values(:, :)
    real(real64), allocatable :: phi(:), sigma(:), vectors(:)
    real(real32), allocatable :: first_single(:), second_single(:), weights_single(:, :, :)
    real(real64), allocatable :: first_double(:), second_double(:), weights_double(:, :, :)
    ! Of operations on whole grids: the size of the image (its rows without those that fill it up),
    ! its channels and those that stand beside them, and where it lies and goes in the workspace.
    integer :: rows = 0, lines = 0, extra = 0, channels = 0, beside = 0, border = 1
    integer :: panel = 0         ! rows of the panels that are put down, or of the first operand
    integer :: neighbours = 0, mesh = 0, parts = 0, bend = 0, from = 1, into = 1
    integer(int64) :: kept = 0
    logical :: poles(2) = .false., residual = .false.
    integer(int32), allocatable :: signs(:)   ! -1 for a component of a vector
    real(real32), allocatable :: extra_single(:)   ! of a mesh, and of what is heard on it
    real(real64), allocatable :: extra_double(:)
  end type operation

  ! What is known of the image, or the mesh, that operations on whole grids work on.
  type :: image_state
    logical :: there = .false., mesh = .false., told = .false.
    integer :: rows = 0, lines = 0, channels = 0, slot = 1, number = 0, parts = 0, held = 0
    integer :: kept(most_halvings) = 0                  ! channels of images that wait
    integer(int64) :: place(most_halvings) = 0, largest = 0, waiting = 0
  end type image_state

  type :: closura_model
    private
    logical :: loaded = .false., ranged = .false., precise = .false.   ! precise: in double always
    logical :: graph = .false.   ! computed by ONNX Runtime, but for the noise
    integer :: together = 1      ! columns that only make sense together: those of a sphere
    integer :: grid(2) = 1       ! its latitudes and longitudes
    logical :: spheres = .false., whole = .false.   ! columns see others; all see all
    integer(int64) :: slots(3) = 1, workspace = 0   ! where images lie in the workspace
    integer :: held = 1          ! room of a column where panels are put down
    integer :: inputs = 0, outputs = 0, memory = 0, missing = closura_report, precision = 0
    integer :: width = 1, most_trees = 1
    type(column_text), allocatable :: input(:), output(:)
    real(real32), allocatable :: lower_single(:), upper_single(:)
    real(real64), allocatable :: lower_double(:), upper_double(:)
    type(operation), allocatable :: operations(:)
    character(len=:), allocatable :: about
#ifdef CLOSURA_ONNX
    type(onnx_session) :: session
#endif
  end type closura_model

  ! A cursor over the words of a file; it never leaves them, and says so when it would have to.
  ! The file passes once through a buffer, so that nothing is in memory twice, and what is in the
  ! buffer goes into the checksum while the processor has it at hand.
  type :: word_reader
    integer :: unit = 0, sections = 0
    integer(int32), allocatable :: buffer(:)
    integer(int32) :: table(0:255, 16) = 0, found = 0, tail(tail_words) = 0   ! of the checksum
    integer(int64) :: total = 0         ! words of the file
    integer(int64) :: before = 0        ! words of the file before the buffer
    integer(int64) :: held = 0          ! words in the buffer
    integer(int64) :: at = 1, last = 0  ! the next word, and the last that may be taken
    logical :: failed = .false., swapped = .false., unreadable = .false.
  end type word_reader

  ! What models whose columns see others work in. It stays between calls, one a thread.
  real(real32), allocatable, save :: work_single(:)
  real(real64), allocatable, save :: work_double(:), work_wide(:)
  integer, allocatable, save :: work_state(:), work_flags(:)
  !$omp threadprivate(work_single, work_double, work_wide, work_state, work_flags)

  interface closura_predict
    module procedure enter_single, enter_double
  end interface closura_predict

  interface predict_whole   ! with a memory, if only one without rows
    module procedure predict_columns, predict_double
  end interface predict_whole

  interface closura_start
    module procedure start_single, start_double
  end interface closura_start

  interface closura_advance
    module procedure advance_single, advance_double
  end interface closura_advance

  interface closura_draw
    module procedure draw_single, draw_double
  end interface closura_draw

#ifdef CLOSURA_BLAS
  interface
    subroutine sgemm(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
      import :: real32
      character, intent(in) :: transa, transb
      integer, intent(in) :: m, n, k, lda, ldb, ldc
      real(real32), intent(in) :: alpha, beta, a(lda, *), b(ldb, *)
      real(real32), intent(inout) :: c(ldc, *)
    end subroutine sgemm
    subroutine dgemm(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
      import :: real64
      character, intent(in) :: transa, transb
      integer, intent(in) :: m, n, k, lda, ldb, ldc
      real(real64), intent(in) :: alpha, beta, a(lda, *), b(ldb, *)
      real(real64), intent(inout) :: c(ldc, *)
    end subroutine dgemm
  end interface
#endif

contains

  ! ---- Loading -------------------------------------------------------------------------------

  ! Read a .closura file. Where the status is not 0 the model is empty.
  subroutine closura_load(model, file, status, precision)
    type(closura_model), intent(inout) :: model
    character(len=*), intent(in) :: file
    integer, intent(out) :: status
    integer, intent(in), optional :: precision   ! closura_single, closura_double or closura_both
    type(word_reader) :: reader
    integer :: problem

    call closura_free(model)
    model%precision = closura_both
    if (present(precision)) model%precision = precision
    if (model%precision < closura_single .or. model%precision > closura_both) then
      status = closura_wrong_setting
      return
    end if
    call open_words(file, reader, status)
    if (status == closura_ok) call check_head(reader, status)
    if (status == closura_ok) then
      call parse(model, reader, status)
      if (.not. whole(reader)) status = merge(closura_cannot_read, closura_damaged, reader%unreadable)
    end if
    if (reader%unit /= 0) close(reader%unit, iostat=problem)
    if (status == closura_ok) call prepare(model, status)
    if (status == closura_ok) call open_graph(model, status)
    model%loaded = status == closura_ok
    if (.not. model%loaded) call closura_free(model)
  end subroutine closura_load

  ! Give the memory of a model back.
  subroutine closura_free(model)
    type(closura_model), intent(inout) :: model
    type(closura_model) :: empty

#ifdef CLOSURA_ONNX
    call onnx_close(model%session)
#endif
    if (model%spheres) then   ! the workspace of other threads stays until they end
      if (allocated(work_single)) deallocate(work_single)
      if (allocated(work_double)) deallocate(work_double)
      if (allocated(work_wide)) deallocate(work_wide)
      if (allocated(work_state)) deallocate(work_state)
      if (allocated(work_flags)) deallocate(work_flags)
    end if
    model = empty
  end subroutine closura_free

  subroutine open_words(file, reader, status)
    character(len=*), intent(in) :: file
    type(word_reader), intent(inout) :: reader
    integer, intent(out) :: status
    integer :: unit, problem
    integer(int64) :: bytes

    status = closura_cannot_open
    open(newunit=unit, file=file, access='stream', form='unformatted', action='read', &
      status='old', iostat=problem)
    if (problem /= 0) return
    reader%unit = unit
    status = closura_cannot_read
    inquire(unit=unit, size=bytes, iostat=problem)
    if (problem /= 0 .or. bytes < 0) return
    reader%total = bytes / 4
    status = closura_out_of_memory
    allocate(reader%buffer(max(1_int64, min(reader%total, int(words_at_once, int64)))), stat=problem)
    if (problem /= 0) return
    call make_table(reader%table)
    call rewind_words(reader)
    status = closura_cannot_read
    if (reader%unreadable) return
    status = closura_truncated
    if (reader%total < 2) return
    if (mod(bytes, 4_int64) == 0) status = closura_ok
    if (status /= closura_ok .and. any(reader%buffer(1:2) /= magic)) status = closura_foreign
  end subroutine open_words

  ! Go back to the first word.
  subroutine rewind_words(reader)
    type(word_reader), intent(inout) :: reader

    reader%before = 0
    reader%held = 0
    reader%at = 1
    reader%last = reader%total
    reader%found = not(0_int32)
    if (reader%total > 0) call fill(reader)
  end subroutine rewind_words

  ! Read the words that follow those in the buffer, and go on with their checksum.
  subroutine fill(reader)
    type(word_reader), intent(inout) :: reader
    integer :: problem, place
    integer(int64) :: number

    reader%before = reader%before + reader%held
    reader%held = min(size(reader%buffer, kind=int64), reader%total - reader%before)
    read(reader%unit, pos=4 * reader%before + 1, iostat=problem) reader%buffer(:reader%held)
    if (problem /= 0) reader%unreadable = .true.
    if (reader%unreadable) reader%failed = .true.
    if (reader%before == 0 .and. reader%held >= head_words) &
      reader%swapped = reader%buffer(4) == swapped_mark   ! this computer is big-endian
    if (reader%swapped) call swap_bytes(reader%buffer(:reader%held))
    do place = 1, tail_words   ! the tail may begin in one buffer and end in the next
      number = reader%total - tail_words + place - reader%before
      if (number >= 1 .and. number <= reader%held) reader%tail(place) = reader%buffer(number)
    end do
    call add_to_checksum(reader%table, &
      reader%buffer(:min(reader%held, reader%total - 1 - reader%before)), reader%found)
  end subroutine fill

  ! Look at the head, from what says most to what says least.
  subroutine check_head(reader, status)
    type(word_reader), intent(inout) :: reader
    integer, intent(out) :: status
    integer(int64) :: bytes
    integer(int32) :: head(head_words)

    head = 0
    if (reader%total >= head_words) head = reader%buffer(:head_words)
    status = closura_foreign
    if (any(reader%buffer(1:2) /= magic)) return
    status = closura_truncated
    if (reader%total < head_words + tail_words) return
    status = status_of(closura_other_format, int(max(head(3), 0)))
    if (head(3) < oldest_format .or. head(3) > format_version) return
    bytes = join(head(5), head(6))
    status = closura_truncated
    if (bytes > 4 * reader%total) return
    status = closura_damaged
    if (bytes /= 4 * reader%total .or. head(4) /= mark) return
    reader%sections = int(head(7))
    status = closura_ok
    if (reader%sections <= usual_sections) return
    if (.not. whole(reader)) status = merge(closura_cannot_read, closura_damaged, reader%unreadable)
    if (status == closura_ok) call rewind_words(reader)
  end subroutine check_head

  ! Read on to the end, and tell whether the checksum is that of all bytes. Whatever was parsed
  ! counts only if it is.
  logical function whole(reader)
    type(word_reader), intent(inout) :: reader

    do while (reader%before + reader%held < reader%total .and. .not. reader%unreadable)
      call fill(reader)
    end do
    whole = reader%tail(1) == done .and. reader%tail(2) == not(reader%found) &
      .and. .not. reader%unreadable
  end function whole

  subroutine parse(model, reader, status)
    type(closura_model), intent(inout) :: model
    type(word_reader), intent(inout) :: reader
    integer, intent(out) :: status
    integer :: sections, section, kind, problem
    integer(int64) :: end_of_file, end_of_section

    status = closura_contradictory
    sections = reader%sections
    end_of_file = reader%total - tail_words
    if (sections < 5 .or. sections > end_of_file / 4) return
    reader%at = head_words + 1
    allocate(model%operations(sections - 5), stat=problem)
    if (problem /= 0) then
      status = closura_out_of_memory
      return
    end if
    do section = 1, sections
      reader%last = end_of_file
      kind = take_whole(reader)
      if (take_whole(reader) /= 0) reader%failed = .true.
      end_of_section = take_long(reader)
      if (reader%failed .or. end_of_section < 0) return
      if (end_of_section > end_of_file - reader%at + 1) return
      end_of_section = reader%at + end_of_section - 1
      reader%last = end_of_section
      status = closura_ok
      call parse_section(model, reader, section, kind, status)
      if (status == closura_ok .and. (reader%failed .or. reader%at /= end_of_section + 1)) &
        status = closura_contradictory
      if (status /= closura_ok) return
      status = closura_contradictory
    end do
    if (reader%at == end_of_file + 1) status = closura_ok
  end subroutine parse

  subroutine parse_section(model, reader, section, kind, status)
    type(closura_model), intent(inout) :: model
    type(word_reader), intent(inout) :: reader
    integer, intent(in) :: section, kind
    integer, intent(inout) :: status
    integer :: count, spare, problem

    if (section <= 5 .and. kind /= section) then
      status = closura_contradictory
      return
    end if
    problem = 0
    select case (section)
    case (1)
      call take_columns(reader, model%input, problem)
      if (allocated(model%input)) model%inputs = size(model%input)
    case (2)
      call take_columns(reader, model%output, problem)
      if (allocated(model%output)) model%outputs = size(model%output)
    case (3)
      count = take_whole(reader)
      model%ranged = count > 0
      if (count /= 0 .and. count /= model%inputs) reader%failed = .true.
      if (model%ranged .and. .not. reader%failed) then
        call take_reals(reader, count, model%lower_double, problem)
        call take_reals(reader, count, model%upper_double, problem)
      end if
    case (4)
      model%missing = take_whole(reader)
      if (model%missing < closura_report .or. model%missing > closura_pass) reader%failed = .true.
      spare = take_whole(reader)
      if (spare /= 0 .and. spare /= 1) reader%failed = .true.
      model%precise = spare == 1
      if (model%precise) model%precision = closura_both
      count = take_whole(reader)
      if (count < 0 .or. count > reader%last - reader%at + 1) reader%failed = .true.
      if (.not. reader%failed) then
        do spare = 1, count
          if (take_whole(reader) /= 0) reader%failed = .true.
        end do
      end if
    case (5)
      call take_text(reader, model%about, problem)
    case default
      call parse_operation(model%operations(section - 5), reader, kind, problem, status)
    end select
    if (problem /= 0 .and. .not. reader%failed) status = closura_out_of_memory
  end subroutine parse_section

  subroutine parse_operation(one, reader, kind, problem, status)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(in) :: kind
    integer, intent(inout) :: problem, status

    one%kind = kind
    select case (kind)
    case (op_select, op_add, op_noise)
      one%inputs = take_whole(reader)
      call take_wholes(reader, one%inputs, one%indices, problem)
      if (kind == op_noise) then
        call take_reals(reader, one%inputs, one%phi, problem)
        call take_reals(reader, one%inputs, one%sigma, problem)
      end if
      one%outputs = one%inputs
    case (op_novelty)
      call parse_novelty(one, reader, problem)
    case (op_support)
      call parse_support(one, reader, problem)
    case (op_standardise, op_restore, op_clip)
      one%inputs = take_whole(reader)
      one%outputs = one%inputs
      call take_reals(reader, one%inputs, one%first_double, problem)
      call take_reals(reader, one%inputs, one%second_double, problem)
    case (op_finite)
      one%inputs = take_whole(reader)
      one%outputs = one%inputs
    case (op_dense)
      call parse_dense(one, reader, problem)
    case (op_polynomial)
      call parse_polynomial(one, reader, problem)
    case (op_trees, op_rounds)
      call parse_trees(one, reader, problem)
    case (op_onnx)
      call parse_graph(one, reader, problem)
      return   ! a graph needs no panel, so it may be wider than one
    case (op_around, op_image, op_convolve, op_coarsen, op_refine, op_merge, op_mesh, op_tell, op_hear)
      call parse_on_grid(one, reader, problem)
    case default
      status = status_of(closura_unknown_operation, kind)
    end select
    if (one%inputs < 0 .or. one%outputs < 0) reader%failed = .true.
    if (status == closura_ok .and. widest_of(one) > widest) &
      status = status_of(closura_too_wide, widest_of(one))
  end subroutine parse_operation

  ! How many values of a column an operation holds at once; of trees and distances also how many
  ! trees or axes: their numbers are not read where these do not fit.
  pure integer function widest_of(one)
    type(operation), intent(in) :: one

    widest_of = max(one%inputs, one%outputs)
    select case (one%kind)
    case (op_trees, op_rounds, op_novelty)
      widest_of = max(widest_of, one%trees, one%terms)
    case (op_convolve)
      widest_of = max(3 * min(max(one%channels, 0), widest), one%outputs)
    end select
  end function widest_of

  ! Operations on whole grids, each with the size of its grid or that of the image it works on.
  subroutine parse_on_grid(one, reader, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(inout) :: problem
    integer :: bytes

    allocate(one%signs(0))
    select case (one%kind)
    case (op_around)
      call take_grid(one, reader)
      one%channels = take_whole(reader)
      one%terms = take_whole(reader)   ! what the column alone knows
      if (min(one%channels, one%terms) < 0) reader%failed = .true.
      if (reader%failed) return
      one%outputs = 9 * min(one%channels, widest) + min(one%terms, widest)
      if (one%outputs > widest) return
      call take_wholes(reader, one%channels + one%terms, one%indices, problem)
      call take_signs(one, reader, one%channels, problem)
      one%terms = 0
    case (op_image)
      call take_grid(one, reader)
      one%extra = take_whole(reader)
      one%inputs = take_whole(reader)
      one%outputs = one%inputs
      if (min(one%extra, one%inputs) < 0) reader%failed = .true.
      if (one%inputs > widest .or. reader%failed) return
      if (one%extra >= one%rows + merge(0, 1, one%poles(2))) reader%failed = .true.
      call take_signs(one, reader, one%inputs, problem)
    case (op_convolve)
      call parse_convolve(one, reader, problem)
    case (op_merge, op_tell)
      one%inputs = take_whole(reader)
      one%outputs = take_whole(reader)
      bytes = take_whole(reader)
      call take_matrix(one, reader, bytes, problem)
    case (op_mesh)
      call parse_mesh(one, reader, problem)
    case (op_hear)
      call parse_hear(one, reader, problem)
    end select
  end subroutine parse_on_grid

  subroutine take_grid(one, reader)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader

    one%rows = take_whole(reader)
    one%lines = take_whole(reader)
    one%poles(1) = take_flag(reader)
    one%poles(2) = take_flag(reader)
    if (min(one%rows, one%lines) < 1) reader%failed = .true.
    if (int(one%rows, int64) * one%lines > largest_grid) reader%failed = .true.
    if (one%rows == 1 .and. any(one%poles)) reader%failed = .true.
  end subroutine take_grid

  logical function take_flag(reader)
    type(word_reader), intent(inout) :: reader
    integer :: word

    word = take_whole(reader)
    if (word /= 0 .and. word /= 1) reader%failed = .true.
    take_flag = word == 1
  end function take_flag

  subroutine take_signs(one, reader, count, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(in) :: count
    integer, intent(inout) :: problem

    call take_wholes(reader, count, one%signs, problem)
    if (problem /= 0) return
    if (any(one%signs /= 1 .and. one%signs /= -1)) reader%failed = .true.
  end subroutine take_signs

  ! Numbers of 4 or 8 bytes, in double precision.
  subroutine take_numbers(reader, bytes, count, values, problem)
    type(word_reader), intent(inout) :: reader
    integer, intent(in) :: bytes, count
    real(real64), allocatable, intent(out) :: values(:)
    integer, intent(inout) :: problem
    real(real32), allocatable :: short(:)

    if (bytes == 8) then
      call take_reals(reader, count, values, problem)
    else if (bytes == 4) then
      call take_short_reals(reader, count, short, problem)
      if (problem /= 0) return
      allocate(values(size(short)), stat=problem)
      if (problem == 0) values = short
    else
      reader%failed = .true.
    end if
  end subroutine take_numbers

  ! Weights (outputs fastest) and offsets.
  subroutine take_matrix(one, reader, bytes, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(in) :: bytes
    integer, intent(inout) :: problem

    if (min(one%inputs, one%outputs) < 0) reader%failed = .true.
    if (reader%failed .or. max(one%inputs, one%outputs) > 3 * widest) return
    call take_numbers(reader, bytes, one%inputs * one%outputs, one%second_double, problem)
    call take_numbers(reader, bytes, one%outputs, one%first_double, problem)
  end subroutine take_matrix

  ! Windows of 3 x 3 points: `inputs` are the channels of all nine.
  subroutine parse_convolve(one, reader, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(inout) :: problem
    integer :: bytes, signed

    one%channels = take_whole(reader)
    one%outputs = take_whole(reader)
    one%activation = take_whole(reader)
    bytes = take_whole(reader)
    one%poles(1) = take_flag(reader)
    one%poles(2) = take_flag(reader)
    signed = take_whole(reader)
    if (one%activation < 0 .or. one%activation > 8) reader%failed = .true.
    if (signed /= 0 .and. signed /= one%channels) reader%failed = .true.
    if (min(one%channels, one%outputs) < 0) reader%failed = .true.
    if (reader%failed .or. widest_of(one) > widest) return
    one%inputs = 9 * one%channels
    call take_signs(one, reader, signed, problem)
    call take_matrix(one, reader, bytes, problem)
  end subroutine parse_convolve

  ! The neighbours of every node: which they are, their share, where they lie, how winds turn.
  subroutine parse_mesh(one, reader, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(inout) :: problem
    integer :: bytes
    integer(int64) :: edges

    call take_grid(one, reader)
    one%inputs = take_whole(reader)
    one%outputs = one%inputs
    one%neighbours = take_whole(reader)
    bytes = take_whole(reader)
    if (min(one%inputs, one%neighbours) < 0) reader%failed = .true.
    if (reader%failed .or. one%inputs > widest) return
    edges = int(one%rows * one%lines, int64) * one%neighbours
    if (edges > (reader%last - reader%at + 1) / 7) reader%failed = .true.
    if (6 * edges > huge(0)) reader%failed = .true.
    if (reader%failed) return
    call take_wholes(reader, int(edges), one%indices, problem)
    call take_numbers(reader, bytes, 6 * int(edges), one%extra_double, problem)
    if (reader%failed .or. problem /= 0) return
    if (out_of_range(one%indices, one%rows * one%lines)) reader%failed = .true.
  end subroutine parse_mesh

  ! What a node makes of messages: `inputs` are its numbers before and after.
  subroutine parse_hear(one, reader, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(inout) :: problem
    integer :: bytes

    one%inputs = take_whole(reader)
    one%outputs = one%inputs
    one%bend = take_whole(reader)
    one%parts = merge(5, 3, take_flag(reader))   ! of which 2 wait for their winds to be turned
    one%residual = take_flag(reader)
    bytes = take_whole(reader)
    if (one%inputs < 0 .or. one%bend < 0 .or. one%bend > 8) reader%failed = .true.
    if (one%inputs > widest .or. reader%failed) return
    call take_numbers(reader, bytes, 6 * one%inputs, one%extra_double, problem)
    call take_matrix(one, reader, bytes, problem)
  end subroutine parse_hear

  ! Weights are read row by row as (outputs, inputs), into one copy that prepare() lays out.
  subroutine parse_dense(one, reader, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(inout) :: problem
    integer :: bytes

    one%inputs = take_whole(reader)
    one%outputs = take_whole(reader)
    one%activation = take_whole(reader)
    bytes = take_whole(reader)
    if (one%activation < 0 .or. one%activation > 8) reader%failed = .true.
    if (min(one%inputs, one%outputs) < 0 .or. max(one%inputs, one%outputs) > widest) return
    if (bytes == 8) then
      call take_reals(reader, one%inputs * one%outputs, one%second_double, problem)
      call take_reals(reader, one%outputs, one%first_double, problem)
    else if (bytes == 4) then
      call take_short_reals(reader, one%inputs * one%outputs, one%second_single, problem)
      call take_short_reals(reader, one%outputs, one%first_single, problem)
    else
      reader%failed = .true.
    end if
  end subroutine parse_dense

  subroutine parse_polynomial(one, reader, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(inout) :: problem
    integer(int32), allocatable :: exponents(:)
    integer(int64) :: count
    integer :: term

    one%inputs = take_whole(reader)
    one%outputs = take_whole(reader)
    one%terms = take_whole(reader)
    if (min(one%inputs, one%outputs, one%terms) < 0) reader%failed = .true.
    if (max(one%inputs, one%outputs) > widest) return
    count = int(one%terms, int64) * max(one%inputs, 2 * one%outputs)
    if (reader%failed .or. count > reader%last - reader%at + 1) then
      reader%failed = .true.
      return
    end if
    call take_wholes(reader, one%terms * one%inputs, exponents, problem)
    call take_reals(reader, one%terms * one%outputs, one%first_double, problem)
    if (reader%failed .or. problem /= 0) return
    if (any(exponents < 0) .or. any(exponents > 64)) reader%failed = .true.
    allocate(one%exponents(one%inputs, one%terms), stat=problem)
    if (problem /= 0) return
    one%exponents = reshape(exponents, [one%inputs, one%terms])
    one%horner = one%inputs == 1 .and. one%terms > 0
    if (one%horner) one%horner = all(exponents == [(int(term - 1, int32), term = 1, one%terms)])
  end subroutine parse_polynomial

  ! Children come after their parent, so a column that goes down always ends at a leaf.
  subroutine parse_trees(one, reader, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(inout) :: problem
    integer :: nodes, leaves, node
    integer(int64) :: count
    integer(int32), allocatable :: feature(:), left(:)
    real(real32), allocatable :: threshold(:)

    one%inputs = take_whole(reader)
    one%outputs = take_whole(reader)
    one%trees = take_whole(reader)
    nodes = take_whole(reader)
    leaves = take_whole(reader)
    one%terms = 1   ! trees in a round
    if (one%kind == op_rounds) one%terms = take_whole(reader)
    one%divisor = take_real(reader)
    if (.not. finite_double(one%divisor)) then
      reader%failed = .true.
    else if (one%divisor < 1) then
      reader%failed = .true.
    end if
    if (min(one%inputs, one%outputs, one%trees, nodes, leaves) < 0) reader%failed = .true.
    if (max(one%inputs, one%outputs, one%trees, one%terms) > widest) return
    if (one%kind == op_rounds) then
      if (one%outputs /= 1 .or. one%terms < 1) then
        reader%failed = .true.
      else
        if (mod(one%trees, one%terms) /= 0) reader%failed = .true.
      end if
    end if
    count = int(leaves, int64) * one%outputs + 3_int64 * nodes + one%trees
    if (reader%failed .or. count /= reader%last - reader%at + 1) then
      reader%failed = .true.
      return
    end if
    call take_wholes(reader, one%trees, one%indices, problem)
    call take_wholes(reader, nodes, feature, problem)
    call take_wholes(reader, nodes, left, problem)
    call take_short_reals(reader, nodes, threshold, problem)
    if (reader%failed .or. problem /= 0) return
    allocate(one%values(one%outputs, leaves), one%leaf(nodes), one%nodes(nodes), stat=problem)
    if (problem /= 0) return
    call fill_short_reals(reader, size(one%values, kind=int64), one%values)
    if (reader%failed) return
    if (any(one%indices < 0) .or. any(one%indices >= nodes)) reader%failed = .true.
    if (any(feature < 0) .or. any(feature >= max(leaves, one%inputs))) reader%failed = .true.
    if (reader%failed) return   ! before 1 is added
    do node = 1, nodes
      one%leaf(node) = feature(node) + 1_int32
      if (left(node) == node - 1) then
        if (feature(node) >= leaves) reader%failed = .true.
        ! From a leaf no feature leads on, so going down needs no branch.
        one%nodes(node) = tree_node(huge(1.0_real32), 1_int32, int(node, int32))
      else
        if (left(node) < node .or. left(node) > nodes - 2) reader%failed = .true.
        if (feature(node) >= one%inputs .or. reader%failed) then
          reader%failed = .true.
          return
        end if
        one%nodes(node) = tree_node(threshold(node), feature(node) + 1_int32, left(node) + 1_int32)
      end if
    end do
    one%indices = one%indices + 1_int32
    one%outputs = one%outputs * one%terms
  end subroutine parse_trees

  ! How new a column is: the offset of a distance, cutoff, end and rate stand in phi; the smallest
  ! values or the mean in first_double, the largest values or the whitening in second_double.
  ! `terms` is the number of axes (0: a range), `activation` the response.
  subroutine parse_novelty(one, reader, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(inout) :: problem

    one%inputs = take_whole(reader)
    one%terms = take_whole(reader)
    one%activation = take_whole(reader)
    if (one%inputs < 1 .or. one%terms < 0) reader%failed = .true.
    if (one%activation < 0 .or. one%activation > 2) reader%failed = .true.
    if (max(one%inputs, one%terms) > widest .or. reader%failed) return
    call take_wholes(reader, one%inputs, one%indices, problem)
    call take_reals(reader, 4, one%phi, problem)
    call take_reals(reader, one%inputs, one%first_double, problem)
    call take_reals(reader, one%inputs * max(one%terms, 1), one%second_double, problem)
    if (reader%failed .or. problem /= 0) return
    if (one%activation == 1 .and. .not. one%phi(3) > one%phi(2)) reader%failed = .true.
    if (one%activation == 2 .and. .not. (one%phi(4) > 0 .and. one%phi(4) < 1)) reader%failed = .true.
  end subroutine parse_novelty

  ! Novelty by support vectors: offset, cutoff, end, rate and gamma stand in phi; the centre of each
  ! input in first_double, its scale in second_double, the height of each vector in sigma and the
  ! vectors, vectors fastest, in vectors. From here on it is an op_novelty.
  subroutine parse_support(one, reader, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(inout) :: problem
    integer :: count
    integer(int64) :: numbers

    one%kind = op_novelty
    one%inputs = take_whole(reader)
    count = take_whole(reader)
    one%activation = take_whole(reader)
    if (one%inputs < 1 .or. count < 1) reader%failed = .true.
    if (one%activation < 0 .or. one%activation > 2) reader%failed = .true.
    if (one%inputs > widest .or. reader%failed) return
    numbers = int(one%inputs, int64) * count
    if (numbers > min((reader%last - reader%at + 1) / 2, int(huge(0), int64))) then
      reader%failed = .true.
      return
    end if
    call take_wholes(reader, one%inputs, one%indices, problem)
    call take_reals(reader, 5, one%phi, problem)
    call take_reals(reader, one%inputs, one%first_double, problem)
    call take_reals(reader, one%inputs, one%second_double, problem)
    call take_reals(reader, count, one%sigma, problem)
    call take_reals(reader, int(numbers), one%vectors, problem)
    if (reader%failed .or. problem /= 0) return
    if (any(abs(one%second_double) < tiny(1.0_real64)) .or. one%phi(5) < 0) reader%failed = .true.
    if (one%activation == 1 .and. .not. one%phi(3) > one%phi(2)) reader%failed = .true.
    if (one%activation == 2 .and. .not. (one%phi(4) > 0 .and. one%phi(4) < 1)) reader%failed = .true.
  end subroutine parse_support

  ! A graph of ONNX: its bytes are kept until it is opened. `terms` is their number, `horner` says
  ! whether the graph computes in double precision, `trees` how many columns make a sphere.
  subroutine parse_graph(one, reader, problem)
    type(operation), intent(inout) :: one
    type(word_reader), intent(inout) :: reader
    integer, intent(inout) :: problem
    integer :: bytes

    one%inputs = take_whole(reader)
    one%outputs = take_whole(reader)
    bytes = take_whole(reader)
    one%trees = take_whole(reader)
    one%terms = take_whole(reader)
    if (one%trees < 1) reader%failed = .true.
    if (bytes /= 4 .and. bytes /= 8) reader%failed = .true.
    if (min(one%inputs, one%outputs, one%terms) < 0 .or. one%terms > huge(0) - 4) &
      reader%failed = .true.
    one%horner = bytes == 8
    if (.not. reader%failed) call take_wholes(reader, (one%terms + 3) / 4, one%indices, problem)
    if (reader%swapped .and. .not. reader%failed) call swap_bytes(one%indices)   ! bytes, not words
  end subroutine parse_graph

  ! Open the graph of a file that holds one; it computes all outputs from all inputs.
  subroutine open_graph(model, status)
    type(closura_model), intent(inout) :: model
    integer, intent(out) :: status
#ifdef CLOSURA_ONNX
    integer :: code
#endif

    status = closura_ok
    if (.not. model%graph) return
#ifdef CLOSURA_ONNX
    associate (one => model%operations(1))
      call onnx_open(model%session, one%indices, one%terms, one%inputs, one%outputs, one%horner, code)
      deallocate(one%indices)
    end associate
    if (code /= 0) status = status_of(closura_onnx_refused, code)
#else
    status = closura_needs_onnx
#endif
  end subroutine open_graph

  ! Check that every operation fits the one before it, and lay its numbers out for the kernels.
  subroutine prepare(model, status)
    type(closura_model), intent(inout) :: model
    integer, intent(out) :: status
    integer :: place, rows, problem
    type(image_state) :: image
    logical :: fits

    status = closura_contradictory
    rows = -1
    problem = 0
    do place = 1, size(model%operations)
      associate (one => model%operations(place))
        if (model%graph .and. one%kind /= op_noise) return
        if (on_whole_grid(one%kind) .or. any(one%kind == [op_around, op_image, op_mesh])) then
          call follow_image(model, one, place, max(rows, 0), image, fits)
          if (.not. fits) return
        end if
        select case (one%kind)
        case (op_around)
          if (out_of_range(one%indices, model%inputs)) return
        case (op_coarsen, op_refine, op_convolve, op_merge, op_tell, op_hear)
          if (rows < 0) return
          call lay_out(one, model%precision, problem)
          cycle   ! they change no panel, or not its width
        case (op_select)
          if (out_of_range(one%indices, model%inputs)) return
        case (op_noise)
          if (out_of_range(one%indices, model%outputs)) return
          model%memory = model%memory + one%inputs
        case (op_add)
          if (out_of_range(one%indices, model%outputs) .or. one%inputs /= rows) return
        case (op_novelty)
          if (rows < 0 .or. out_of_range(one%indices, model%inputs)) return
          one%outputs = rows   ! it changes no width
        case (op_onnx)
          if (place > 1 .or. one%inputs /= model%inputs .or. one%outputs /= model%outputs) return
          model%graph = .true.
          model%together = one%trees
          cycle
        case default
          if (one%inputs /= rows) return
        end select
        if (allocated(one%indices) .and. one%trees == 0) one%indices = one%indices + 1_int32
        if (one%kind /= op_noise) rows = one%outputs
        model%width = max(model%width, one%inputs, one%outputs)
        model%most_trees = max(model%most_trees, one%trees)
        call lay_out(one, model%precision, problem)
      end associate
    end do
    if (model%memory > widest) return
    if (model%spheres) call make_room(model, image)
    if (model%precise .and. max(model%inputs, model%outputs) > widest) then
      status = status_of(closura_too_wide, max(model%inputs, model%outputs))
      return
    end if
    if (model%ranged) then
      model%lower_single = to_single(model%lower_double)
      model%upper_single = to_single(model%upper_double)
    end if
    status = merge(closura_ok, closura_out_of_memory, problem == 0)
  end subroutine prepare

  subroutine lay_out(one, precision, problem)
    type(operation), intent(inout) :: one
    integer, intent(in) :: precision
    integer, intent(inout) :: problem
    real(real64), allocatable :: weights(:), offsets(:)

    select case (one%kind)
    case (op_standardise)
      ! A multiplication is as exact as the panel, and cheaper than a division.
      where (abs(one%second_double) >= tiny(1.0_real64)) one%second_double = 1 / one%second_double
    case (op_dense, op_convolve, op_merge, op_tell, op_hear)
      if (allocated(one%extra_double)) one%extra_single = to_single(one%extra_double)
      if (allocated(one%second_double)) then
        call move_alloc(one%second_double, weights)
        call move_alloc(one%first_double, offsets)
      else
        allocate(weights(size(one%second_single)), offsets(size(one%first_single)), stat=problem)
        if (problem /= 0) return
        weights = real(one%second_single, real64)
        offsets = real(one%first_single, real64)
        deallocate(one%second_single, one%first_single)
      end if
      if (iand(precision, closura_single) /= 0) call lay_out_single(one, weights, offsets, problem)
      if (iand(precision, closura_double) /= 0) call lay_out_double(one, weights, offsets, problem)
      return
    end select
    if (allocated(one%first_double)) one%first_single = to_single(one%first_double)
    if (allocated(one%second_double)) one%second_single = to_single(one%second_double)
    if (allocated(one%extra_double)) one%extra_single = to_single(one%extra_double)
  end subroutine lay_out

  ! Check that an operation fits the grid and the image that it finds, and say where images lie:
  ! one slot holds the image before an operation, the other one the image after it, and images
  ! that wait for the way up lie behind both.
  subroutine follow_image(model, one, place, rows, image, fits)
    type(closura_model), intent(inout) :: model
    type(operation), intent(inout) :: one
    integer, intent(in) :: place, rows   ! rows of the panels
    type(image_state), intent(inout) :: image
    logical, intent(out) :: fits

    fits = .false.
    select case (one%kind)
    case (op_around, op_image, op_mesh)
      if (model%spheres .and. any(model%grid /= [one%rows, one%lines])) return
      model%spheres = .true.
      model%grid = [one%rows, one%lines]
      model%together = one%rows * one%lines
      if (one%kind == op_around) then
        fits = .true.
        return
      end if
      model%whole = .true.
      if (one%inputs /= rows .or. image%there) return
      image%there = .true.
      image%mesh = one%kind == op_mesh
      image%told = .false.
      one%border = merge(0, 1, image%mesh)
      image%rows = one%rows + one%extra
      image%lines = one%lines
      image%channels = one%inputs
      image%slot = 1
      image%number = place
      call take_room(image)
      fits = .true.
      return
    end select
    if (.not. image%there) return
    if (image%mesh .neqv. any(one%kind == [op_tell, op_hear, op_merge])) then
      if (one%kind /= op_merge) return
    end if
    one%rows = image%rows
    one%lines = image%lines
    one%from = image%slot
    one%into = image%slot
    one%border = merge(0, 1, image%mesh)
    one%mesh = image%number
    select case (one%kind)
    case (op_convolve)
      if (one%channels /= image%channels .or. any(one%poles) .and. one%rows < 2) return
      image%channels = one%outputs
    case (op_coarsen)
      if (image%held == most_halvings .or. mod(image%rows, 2) /= 0 .or. mod(image%lines, 2) /= 0) return
      image%held = image%held + 1
      image%kept(image%held) = image%channels
      image%place(image%held) = image%waiting
      one%kept = image%waiting
      one%channels = image%channels
      image%waiting = image%waiting + int(image%rows, int64) * image%lines * image%channels
      image%rows = image%rows / 2
      image%lines = image%lines / 2
      one%rows = image%rows
      one%lines = image%lines
    case (op_refine)
      if (image%held == 0) return
      one%channels = image%channels
      one%beside = image%kept(image%held)
      one%kept = image%place(image%held)
      image%held = image%held - 1
      if (int(one%beside, int64) + one%channels > widest) return
      image%channels = one%beside + one%channels
      image%rows = 2 * image%rows
      image%lines = 2 * image%lines
      one%rows = image%rows
      one%lines = image%lines
    case (op_merge)
      if (one%inputs /= image%channels .or. one%outputs /= rows) return
      if (image%held > 0 .or. image%told) return
      image%there = .false.
    case (op_tell)
      if (one%inputs /= image%channels .or. image%told) return
      image%told = .true.
      image%parts = one%outputs
      image%largest = max(image%largest, int(model%together, int64) * one%outputs)
    case (op_hear)
      if (.not. image%told .or. image%parts /= one%parts * one%outputs) return
      if (one%residual .and. one%outputs /= image%channels) return
      image%told = .false.
      image%channels = one%outputs
    end select
    if (any(one%kind == [op_convolve, op_coarsen, op_refine])) then
      image%slot = 3 - image%slot
      one%into = image%slot
    end if
    one%panel = rows
    call take_room(image)
    fits = .true.
  end subroutine follow_image

  ! Make the slots large enough for an image with its border, and for windows that reach beyond it.
  pure subroutine take_room(image)
    type(image_state), intent(inout) :: image

    image%largest = max(image%largest, ((image%rows + 2_int64) * (image%lines + 2_int64) + group) &
      * max(image%channels, 1))
  end subroutine take_room

  ! Say where panels and images lie in the workspace, and which panels are put down.
  subroutine make_room(model, image)
    type(closura_model), intent(inout) :: model
    type(image_state), intent(in) :: image
    integer :: place, rows

    rows = 0
    do place = 1, size(model%operations)
      associate (one => model%operations(place))
        if (on_whole_grid(one%kind)) then
          model%held = max(model%held, rows)
        else if (one%kind /= op_noise) then
          rows = one%outputs
        end if
        one%panel = rows
      end associate
    end do
    model%slots(1) = int(model%held, int64) * model%together + 1
    model%slots(2) = model%slots(1) + image%largest
    model%slots(3) = model%slots(2) + image%largest
    model%workspace = model%slots(3) + image%waiting
  end subroutine make_room

  ! Where the panel of a column lies in the workspace.
  pure integer(int64) function held_at(room, column)
    integer, intent(in) :: room, column

    held_at = int(room, int64) * (column - 1) + 1
  end function held_at

  subroutine reserve_states(count, status)
    integer, intent(in) :: count
    integer, intent(inout) :: status

    if (allocated(work_state)) then
      if (size(work_state) >= count) return
      deallocate(work_state)
    end if
    allocate(work_state(count), stat=status)
    if (status /= 0) status = closura_out_of_memory
  end subroutine reserve_states

  ! Whether an operation needs all columns of a grid before it can begin.
  elemental logical function on_whole_grid(kind)
    integer, intent(in) :: kind

    on_whole_grid = any(kind == [op_convolve, op_coarsen, op_refine, op_merge, op_tell, op_hear])
  end function on_whole_grid

  ! Points that stand before a column in an image, whose border is one point, or in a mesh.
  pure integer(int64) function point_of(one, number)
    type(operation), intent(in) :: one
    integer, intent(in) :: number   ! of the column, from 0

    point_of = int(number / one%lines + one%border, int64) * (one%lines + 2 * one%border) &
      + mod(number, one%lines) + one%border
  end function point_of

  ! Which column is neighbour `near` (0 to 8, the fourth is the column itself); beyond a pole it is
  ! half-way round, between two columns where the number of longitudes is odd.
  pure subroutine find_neighbour(one, column, near, here, beyond)
    type(operation), intent(in) :: one
    integer, intent(in) :: column, near
    integer, intent(out) :: here(2)
    logical, intent(out) :: beyond
    integer :: row, line, other

    row = (column - 1) / one%lines + near / 3
    line = modulo(mod(column - 1, one%lines) + mod(near, 3) - 1, one%lines)
    beyond = row < 1 .or. row > one%rows
    other = line
    if (beyond) then
      if (row < 1) then
        row = 1 + merge(1, 0, one%poles(1))
      else
        row = one%rows - merge(1, 0, one%poles(2))
      end if
      line = modulo(line - one%lines / 2, one%lines)
      other = line
      if (mod(one%lines, 2) == 1) other = modulo(line - 1, one%lines)
    end if
    here = (row - 1) * one%lines + 1 + [line, other]
  end subroutine find_neighbour

  ! Mark the columns that see one that is not finite.
  pure subroutine spoil(model, state)
    type(closura_model), intent(in) :: model
    integer, intent(inout) :: state(:)
    integer, parameter :: spoiled = 1024
    integer :: column, near, place, here(2)
    logical :: beyond

    if (all(iand(state, closura_flag_missing) == 0)) return
    if (model%whole) then
      state = closura_flag_missing
      return
    end if
    do place = 1, size(model%operations)
      if (model%operations(place)%kind /= op_around) cycle
      do column = 1, size(state)
        do near = 0, 8
          call find_neighbour(model%operations(place), column, near, here, beyond)
          if (any(iand(state(here), closura_flag_missing) /= 0)) state(column) = ior(state(column), spoiled)
        end do
      end do
    end do
    where (state >= spoiled) state = closura_flag_missing
  end subroutine spoil

  elemental function to_single(value) result(found)
    real(real64), intent(in) :: value
    real(real32) :: found
    real(real64), parameter :: largest = real(huge(1.0_real32), real64)

    found = real(min(max(value, -largest), largest), real32)
  end function to_single

  pure logical function out_of_range(indices, count)
    integer(int32), intent(in) :: indices(:)
    integer, intent(in) :: count

    out_of_range = any(indices < 0) .or. any(indices >= count)
  end function out_of_range

  ! ---- Words of a file -----------------------------------------------------------------------

  integer function take_whole(reader)
    type(word_reader), intent(inout) :: reader

    take_whole = 0
    if (reader%at > reader%last) reader%failed = .true.
    if (reader%failed) return
    if (reader%at > reader%before + reader%held) call fill(reader)
    if (reader%failed) return
    take_whole = int(reader%buffer(reader%at - reader%before))
    reader%at = reader%at + 1
  end function take_whole

  ! Say where in the buffer the next words lie: at least one of `wanted`, as many as there are.
  ! The caller has made sure that they are not beyond the last.
  subroutine take_piece(reader, wanted, first, last)
    type(word_reader), intent(inout) :: reader
    integer(int64), intent(in) :: wanted
    integer(int64), intent(out) :: first, last

    if (reader%at > reader%before + reader%held) call fill(reader)
    first = reader%at - reader%before
    last = min(first + wanted - 1, reader%held)
    reader%at = reader%at + last - first + 1
  end subroutine take_piece

  integer(int64) function take_long(reader)
    type(word_reader), intent(inout) :: reader
    integer(int32) :: low, high

    low = int(take_whole(reader), int32)
    high = int(take_whole(reader), int32)
    take_long = join(low, high)
  end function take_long

  real(real64) function take_real(reader)
    type(word_reader), intent(inout) :: reader

    take_real = transfer(take_long(reader), 1.0_real64)
  end function take_real

  logical function lacks(reader, count, words_each)
    type(word_reader), intent(inout) :: reader
    integer, intent(in) :: count, words_each

    if (count < 0) reader%failed = .true.
    if (.not. reader%failed) &
      reader%failed = words_each * int(count, int64) > reader%last - reader%at + 1
    lacks = reader%failed
  end function lacks

  subroutine take_wholes(reader, count, values, problem)
    type(word_reader), intent(inout) :: reader
    integer, intent(in) :: count
    integer(int32), allocatable, intent(out) :: values(:)
    integer, intent(inout) :: problem
    integer(int64) :: have, first, last

    allocate(values(0))
    if (lacks(reader, count, 1) .or. problem /= 0) return
    deallocate(values)
    allocate(values(count), stat=problem)
    if (problem /= 0) return
    have = 0
    do while (have < count .and. .not. reader%failed)
      call take_piece(reader, count - have, first, last)
      values(have + 1:have + last - first + 1) = reader%buffer(first:last)
      have = have + last - first + 1
    end do
  end subroutine take_wholes

  subroutine take_short_reals(reader, count, values, problem)
    type(word_reader), intent(inout) :: reader
    integer, intent(in) :: count
    real(real32), allocatable, intent(out) :: values(:)
    integer, intent(inout) :: problem

    allocate(values(0))
    if (lacks(reader, count, 1) .or. problem /= 0) return
    deallocate(values)
    allocate(values(count), stat=problem)
    if (problem /= 0) return
    call fill_short_reals(reader, int(count, int64), values)
  end subroutine take_short_reals

  ! Fill an array of any shape with the reals that follow; each must be finite.
  subroutine fill_short_reals(reader, count, values)
    type(word_reader), intent(inout) :: reader
    integer(int64), intent(in) :: count
    real(real32), intent(inout) :: values(count)
    integer(int64) :: have, first, last, place
    integer(int32) :: largest

    have = 0
    largest = 0
    do while (have < count .and. .not. reader%failed)
      call take_piece(reader, count - have, first, last)
      do place = first, last
        values(have + place - first + 1) = transfer(reader%buffer(place), 1.0_real32)
        largest = max(largest, ibclr(reader%buffer(place), 31))
      end do
      have = have + last - first + 1
    end do
    if (largest >= not_finite) reader%failed = .true.
  end subroutine fill_short_reals

  subroutine take_reals(reader, count, values, problem)
    type(word_reader), intent(inout) :: reader
    integer, intent(in) :: count
    real(real64), allocatable, intent(out) :: values(:)
    integer, intent(inout) :: problem
    integer :: place

    allocate(values(0))
    if (lacks(reader, count, 2) .or. problem /= 0) return
    deallocate(values)
    allocate(values(count), stat=problem)
    if (problem /= 0) return
    do place = 1, count
      values(place) = take_real(reader)
    end do
    if (.not. all(finite_double(values))) reader%failed = .true.
  end subroutine take_reals

  subroutine take_text(reader, text, problem)
    type(word_reader), intent(inout) :: reader
    character(len=:), allocatable, intent(out) :: text
    integer, intent(inout) :: problem
    integer(int32), allocatable :: content(:)
    integer :: count, place, words
    integer(int32) :: word

    count = take_whole(reader)
    words = count / 4 + merge(1, 0, mod(count, 4) /= 0)
    text = ''
    if (lacks(reader, count, 0)) return
    if (lacks(reader, words, 1)) return
    deallocate(text)
    allocate(character(len=count) :: text, stat=problem)
    if (problem /= 0) return
    call take_wholes(reader, words, content, problem)
    if (reader%failed .or. problem /= 0) return
    do place = 1, count
      word = content(1 + (place - 1) / 4)
      text(place:place) = achar_of(iand(ishft(word, -8 * mod(place - 1, 4)), 255_int32))
    end do
  end subroutine take_text

  subroutine take_columns(reader, columns, problem)
    type(word_reader), intent(inout) :: reader
    type(column_text), allocatable, intent(out) :: columns(:)
    integer, intent(inout) :: problem
    character(len=:), allocatable :: text
    integer :: count, place

    count = take_whole(reader)
    if (lacks(reader, count, 2)) return
    allocate(columns(count), stat=problem)
    if (problem /= 0) return
    do place = 1, count
      call take_text(reader, text, problem)
      if (len(text) > closura_text_length) reader%failed = .true.
      columns(place)%name = text
      call take_text(reader, text, problem)
      if (len(text) > closura_text_length) reader%failed = .true.
      columns(place)%units = text
      if (reader%failed .or. problem /= 0) return
    end do
  end subroutine take_columns

  pure character function achar_of(byte)
    integer(int32), intent(in) :: byte

    achar_of = char(int(byte))   ! bytes of UTF-8 above 127 pass through
  end function achar_of

  elemental integer(int64) function join(low, high)
    integer(int32), intent(in) :: low, high

    join = ior(iand(int(low, int64), 4294967295_int64), ishft(int(high, int64), 32))
  end function join

  elemental subroutine swap_bytes(word)
    integer(int32), intent(inout) :: word

    word = ior(ior(ishft(word, 24), ishft(iand(word, 65280_int32), 8)), &
      ior(iand(ishft(word, -8), 65280_int32), ishft(word, -24)))
  end subroutine swap_bytes

  ! What a byte does to the CRC-32 of zlib, by how many bytes follow it.
  pure subroutine make_table(table)
    integer(int32), intent(out) :: table(0:255, 16)
    integer(int32), parameter :: polynomial = -306674912_int32
    integer(int32) :: word
    integer :: byte, bit, slice

    do byte = 0, 255
      word = int(byte, int32)
      do bit = 1, 8
        if (btest(word, 0)) then
          word = ieor(ishft(word, -1), polynomial)
        else
          word = ishft(word, -1)
        end if
      end do
      table(byte, 1) = word
    end do
    do slice = 2, 16
      do byte = 0, 255
        word = table(byte, slice - 1)
        table(byte, slice) = ieor(ishft(word, -8), table(iand(word, 255_int32), 1))
      end do
    end do
  end subroutine make_table

  ! Go on with the CRC-32 over the bytes of words, sixteen bytes at once.
  pure subroutine add_to_checksum(table, words, found)
    integer(int32), intent(in) :: table(0:255, 16), words(:)
    integer(int32), intent(inout) :: found
    integer(int64) :: place, fours

    fours = size(words, kind=int64) / 4
    do place = 1, 4 * fours, 4
      found = ieor( &
        ieor(four_bytes(table(:, 13:16), ieor(found, words(place))), &
        four_bytes(table(:, 9:12), words(place + 1))), &
        ieor(four_bytes(table(:, 5:8), words(place + 2)), &
        four_bytes(table(:, 1:4), words(place + 3))))
    end do
    do place = 4 * fours + 1, size(words, kind=int64)
      found = four_bytes(table(:, 1:4), ieor(found, words(place)))
    end do
  end subroutine add_to_checksum

  pure integer(int32) function four_bytes(table, word)
    integer(int32), intent(in) :: table(0:255, 4), word

    four_bytes = ieor( &
      ieor(table(iand(word, 255_int32), 4), table(iand(ishft(word, -8), 255_int32), 3)), &
      ieor(table(iand(ishft(word, -16), 255_int32), 2), table(ishft(word, -24), 1)))
  end function four_bytes

  ! ---- What a model says of itself -----------------------------------------------------------

  ! Number of inputs of a column.
  pure integer function closura_inputs(model)
    type(closura_model), intent(in) :: model

    closura_inputs = model%inputs
  end function closura_inputs

  ! Number of outputs of a column.
  pure integer function closura_outputs(model)
    type(closura_model), intent(in) :: model

    closura_outputs = model%outputs
  end function closura_outputs

  ! Number of values that the host remembers for each column; 0 where there is no noise.
  pure integer function closura_memory(model)
    type(closura_model), intent(in) :: model

    closura_memory = model%memory
  end function closura_memory

  ! Latitudes and longitudes of the grid whose columns only make sense together, longitudes
  ! fastest; 1 and 1 where a column stands alone.
  pure function closura_grid(model) result(grid)
    type(closura_model), intent(in) :: model
    integer :: grid(2)

    grid = model%grid
    if (model%graph) grid = [1, model%together]
  end function closura_grid

  ! Where the closure comes from, as JSON: passport, version, how columns are gathered.
  pure function closura_about(model) result(about)
    type(closura_model), intent(in) :: model
    character(len=:), allocatable :: about

    about = ''
    if (allocated(model%about)) about = model%about
  end function closura_about

  pure function closura_input_name(model, number) result(text)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: number
    character(len=:), allocatable :: text

    text = ''
    if (number >= 1 .and. number <= model%inputs) text = trim(model%input(number)%name)
  end function closura_input_name

  pure function closura_input_units(model, number) result(text)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: number
    character(len=:), allocatable :: text

    text = ''
    if (number >= 1 .and. number <= model%inputs) text = trim(model%input(number)%units)
  end function closura_input_units

  pure function closura_output_name(model, number) result(text)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: number
    character(len=:), allocatable :: text

    text = ''
    if (number >= 1 .and. number <= model%outputs) text = trim(model%output(number)%name)
  end function closura_output_name

  pure function closura_output_units(model, number) result(text)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: number
    character(len=:), allocatable :: text

    text = ''
    if (number >= 1 .and. number <= model%outputs) text = trim(model%output(number)%units)
  end function closura_output_units

  ! Compare the names and units of what the host will hand over with those of the file.
  subroutine closura_check_inputs(model, names, units, status)
    type(closura_model), intent(in) :: model
    character(len=*), intent(in) :: names(:), units(:)
    integer, intent(out) :: status

    call check_columns(model, model%input, names, units, closura_wrong_input_name, status)
  end subroutine closura_check_inputs

  ! Compare the names and units of what the host expects back with those of the file.
  subroutine closura_check_outputs(model, names, units, status)
    type(closura_model), intent(in) :: model
    character(len=*), intent(in) :: names(:), units(:)
    integer, intent(out) :: status

    call check_columns(model, model%output, names, units, closura_wrong_output_name, status)
  end subroutine closura_check_outputs

  subroutine check_columns(model, columns, names, units, kind, status)
    type(closura_model), intent(in) :: model
    type(column_text), allocatable, intent(in) :: columns(:)
    character(len=*), intent(in) :: names(:), units(:)
    integer, intent(in) :: kind
    integer, intent(out) :: status
    integer :: place

    status = closura_not_loaded
    if (.not. model%loaded) return
    status = status_of(closura_wrong_name_count, size(columns))
    if (size(names) /= size(columns) .or. size(units) /= size(columns)) return
    do place = 1, size(columns)
      status = status_of(kind, place)
      if (columns(place)%name /= names(place)) return
      status = status_of(kind + 1, place)
      if (columns(place)%units /= units(place)) return
    end do
    status = closura_ok
  end subroutine check_columns

  ! Choose what happens to columns that hold NaN or infinity; the file says what it is at first.
  subroutine closura_guard(model, missing, status)
    type(closura_model), intent(inout) :: model
    integer, intent(in) :: missing   ! closura_report, closura_zero or closura_pass
    integer, intent(out) :: status

    status = closura_not_loaded
    if (.not. model%loaded) return
    status = closura_wrong_setting
    if (missing < closura_report .or. missing > closura_pass) return
    model%missing = missing
    status = closura_ok
  end subroutine closura_guard

  ! What a status means and what to do; with the model, which input or output it is about.
  function closura_message(status, model) result(message)
    integer, intent(in) :: status
    type(closura_model), intent(in), optional :: model
    character(len=:), allocatable :: message
    character(len=12) :: number
    integer :: place

    place = status / 1000
    write(number, '(i0)') place
    select case (mod(status, 1000))
    case (closura_ok)
      message = 'closura: no error.'
    case (closura_cannot_open)
      message = 'closura: the file cannot be opened; check its path and permissions.'
    case (closura_cannot_read)
      message = 'closura: the file cannot be read to its end; check the disk, or copy it again.'
    case (closura_truncated)
      message = 'closura: the file is cut off; copy it again, in binary mode.'
    case (closura_foreign)
      message = 'closura: this is no .closura file; give the one that `closura export` wrote.'
    case (closura_other_format)
      message = 'closura: the file has format '//trim(number)//', '//trim(merge('newer', 'older', &
        place > format_version))//' than the formats 1 to 3 that this closura.F90 reads; take '// &
        'the closura.F90 that was exported with it, or export it again.'
    case (closura_damaged)
      message = 'closura: the file is damaged (its checksum is wrong); copy it again.'
    case (closura_contradictory)
      message = 'closura: the contents of the file contradict each other; export it again.'
    case (closura_unknown_operation)
      message = 'closura: the file needs operation '//trim(number)//', which this closura.F90 '// &
        'does not know; take the closura.F90 that was exported with it.'
    case (closura_too_wide)
      message = 'closura: the file has a layer of '//trim(number)//' values, and 8192 is the '// &
        'widest; raise buffer and widest in closura.F90 together.'
    case (closura_out_of_memory)
      message = 'closura: there is not enough memory; load one precision only.'
    case (closura_needs_onnx)
      message = 'closura: the file holds an ONNX graph; compile closura_onnx.F90 and closura.F90 '// &
        'with -DCLOSURA_ONNX and link libonnxruntime, or export it again with --to fortran.'
    case (closura_onnx_refused)
      message = 'closura: ONNX Runtime refused the graph (its error '//trim(number)//'); link a '// &
        'libonnxruntime of version 1.12 or later.'
    case (closura_not_loaded)
      message = 'closura: the model is empty; call closura_load first and check its status.'
    case (closura_wrong_inputs)
      message = 'closura: columns has '//trim(number)//' rows'//wanted(model, 1)// &
        '; it is (inputs, columns).'
    case (closura_wrong_outputs)
      message = 'closura: tendencies has '//trim(number)//' rows'//wanted(model, 2)// &
        '; it is (outputs, columns).'
    case (closura_wrong_columns)
      message = 'closura: tendencies has '//trim(number)//' columns, and columns another number; '// &
        'give both the same.'
    case (closura_wrong_precision)
      message = 'closura: this precision was not loaded; call closura_load with closura_both.'
    case (closura_wrong_memory)
      message = 'closura: memory is missing or of another shape; pass closura_memory(model) rows '// &
        'and as many columns as columns has.'
    case (closura_wrong_flags)
      message = 'closura: flags has '//trim(number)//' values; give one for each column.'
    case (closura_wrong_normal)
      message = 'closura: normal and memory differ in shape; both are '// &
        '(closura_memory(model), columns).'
    case (closura_wrong_setting)
      message = 'closura: there is no such precision or guard; use the constants of the module.'
    case (closura_wrong_sphere)
      message = 'closura: this network sees whole spheres of '//trim(number)//' columns'// &
        wanted(model, 7)//'; hand over all of them, in the order of the training.'
    case (closura_not_finite)
      message = 'closura: '//trim(number)//' columns hold NaN or infinity and got NaN back; look '// &
        'for them with flags=, or choose closura_zero or closura_pass with closura_guard.'
    case (closura_wrong_name_count)
      message = 'closura: the file wants '//trim(number)//' names and as many units; give all.'
    case (closura_wrong_input_name)
      message = 'closura: the name of input '//trim(number)//' is another'//wanted(model, 3, place)// &
        '; order and names are in the README beside the file.'
    case (closura_wrong_input_units)
      message = 'closura: input '//trim(number)//' has other units'//wanted(model, 4, place)// &
        '; convert it first.'
    case (closura_wrong_output_name)
      message = 'closura: the name of output '//trim(number)//' is another'// &
        wanted(model, 5, place)//'; order and names are in the README beside the file.'
    case (closura_wrong_output_units)
      message = 'closura: output '//trim(number)//' has other units'//wanted(model, 6, place)// &
        '; convert it.'
    case default
      message = 'closura: there is no such status; pass the one that a routine returned.'
    end select
  end function closura_message

  ! ", wanted ..." where the model is known.
  function wanted(model, what, place) result(text)
    type(closura_model), intent(in), optional :: model
    integer, intent(in) :: what
    integer, intent(in), optional :: place
    character(len=:), allocatable :: text
    character(len=12) :: number

    text = ''
    if (.not. present(model)) return
    number = ''
    select case (what)
    case (1)
      write(number, '(i0)') model%inputs
    case (2)
      write(number, '(i0)') model%outputs
    case (3)
      text = closura_input_name(model, place)
    case (4)
      text = closura_input_units(model, place)
    case (5)
      text = closura_output_name(model, place)
    case (6)
      text = closura_output_units(model, place)
    case (7)
      if (model%spheres) write(number, '(i0)') model%grid(1)
      if (model%spheres) text = ' ('//trim(number)//' latitudes of '
      if (model%spheres) write(number, '(i0)') model%grid(2)
      if (model%spheres) text = text//trim(number)//' longitudes)'
      return
    end select
    if (what <= 2) then
      text = ', wanted '//trim(number)
    else
      text = ", wanted '"//text//"'"
    end if
  end function wanted

  pure integer function status_of(kind, number)
    integer, intent(in) :: kind, number

    status_of = kind + 1000 * min(max(number, 0), 2000000)
  end function status_of

  ! ---- Guards --------------------------------------------------------------------------------

  ! The weight of a column: 1 where it is like those of the training, less where it is new. It is
  ! computed in double precision, so that a mask falls on the side that it fell on in training.
  pure real(real64) function weight_of(one, values)
    type(operation), intent(in) :: one
    real(real64), intent(in) :: values(*)   ! the inputs that are looked at
    real(real64) :: score, axis, above, below, within, span
    integer :: input, number

    score = 0
    if (allocated(one%vectors)) then
      score = support_score(one, values)
    else if (one%terms > 0) then
      do number = 1, one%terms
        axis = 0
        do input = 1, one%inputs
          axis = axis + (values(input) - one%first_double(input)) &
            * one%second_double((input - 1) * one%terms + number)
        end do
        score = score + axis**2
      end do
      score = sqrt(score / one%terms) - one%phi(1)
    else
      above = -huge(above)
      below = huge(below)
      do input = 1, one%inputs
        span = one%second_double(input) - one%first_double(input)
        within = (values(input) - one%first_double(input)) / merge(span, 1.0_real64, span > 0)
        below = min(below, within)
        above = max(above, within - merge(1.0_real64, 0.0_real64, span > 0))
      end do
      score = max(0.0_real64, above) + max(0.0_real64, -below)
    end if
    select case (one%activation)
    case (0)
      weight_of = merge(1.0_real64, 0.0_real64, score <= one%phi(2))
    case (1)
      weight_of = min(max((one%phi(3) - score) / (one%phi(3) - one%phi(2)), 0.0_real64), 1.0_real64)
    case default
      weight_of = exp(min((score - one%phi(2)) * log(one%phi(4)), 0.0_real64))
    end select
  end function weight_of

  ! Minus the bumps of the support vectors at a column: large far away from all of them.
  pure real(real64) function support_score(one, values)
    type(operation), intent(in) :: one
    real(real64), intent(in) :: values(*)   ! the inputs that are looked at
    integer, parameter :: bundle = 64       ! vectors whose distances are found together
    real(real64) :: squares(bundle), scaled
    integer :: first, input, many, place

    support_score = -one%phi(1)
    do first = 0, size(one%sigma) - 1, bundle
      many = min(bundle, size(one%sigma) - first)
      squares(1:many) = 0
      do input = 1, one%inputs
        scaled = (values(input) - one%first_double(input)) / one%second_double(input)
        scaled = min(max(scaled, -1e99_real64), 1e99_real64)   ! its square is finite
        place = (input - 1) * size(one%sigma) + first
        squares(1:many) = squares(1:many) + (one%vectors(place + 1:place + many) - scaled)**2
      end do
      support_score = support_score &
        - sum(one%sigma(first + 1:first + many) * exp(-one%phi(5) * squares(1:many)))
    end do
  end function support_score

  ! ---- Random numbers ------------------------------------------------------------------------

  ! Threefry-2x32 with 20 rounds: 64 random bits that depend on key and counter alone, so on no
  ! number of ranks or threads. Salmon et al. (2011), doi:10.1145/2063384.2063405.
  pure subroutine threefry(key, counter, bits)
    integer(int64), intent(in) :: key(2), counter(2)
    integer(int64), intent(out) :: bits(2)
    integer(int64), parameter :: mask = 4294967295_int64, parity = 466688986_int64
    integer, parameter :: rotation(0:7) = [13, 15, 26, 6, 17, 29, 16, 24]
    integer(int64) :: schedule(0:2)
    integer :: round, turn

    schedule = [key(1), key(2), ieor(ieor(key(1), key(2)), parity)]
    bits = iand(counter + schedule(0:1), mask)
    do round = 0, 19
      bits(1) = iand(bits(1) + bits(2), mask)
      turn = rotation(mod(round, 8))
      bits(2) = iand(ior(ishft(bits(2), turn), ishft(bits(2), turn - 32)), mask)
      bits(2) = ieor(bits(2), bits(1))
      if (mod(round, 4) == 3) then
        turn = (round + 1) / 4
        bits(1) = iand(bits(1) + schedule(mod(turn, 3)), mask)
        bits(2) = iand(bits(2) + schedule(mod(turn + 1, 3)) + turn, mask)
      end if
    end do
  end subroutine threefry

  ! One number from N(0, 1), by Box and Muller (1958).
  pure real(real64) function one_normal(seed, step, column, row)
    integer, intent(in) :: seed, step, column, row
    real(real64), parameter :: two_pi = 6.283185307179586476925286766559_real64
    integer(int64), parameter :: mask = 4294967295_int64
    real(real64) :: uniform(2)
    integer(int64) :: bits(2)

    call threefry(iand(int([seed, step], int64), mask), iand(int([column, row], int64), mask), bits)
    uniform = (real(bits, real64) + 0.5_real64) / 4294967296.0_real64
    one_normal = sqrt(-2 * log(uniform(1))) * cos(two_pi * uniform(2))
  end function one_normal

  ! Columns of a block with those that fill up its last group.
  pure integer function padded_columns(count)
    integer, intent(in) :: count

    padded_columns = count + modulo(-count, group)
  end function padded_columns

  ! Add eight leaves to a sum. They lie far apart: fetched side by side, the processor waits for
  ! memory once and not eight times.
  pure subroutine add_leaves(many, a, b, c, d, e, f, g, h, total)
    integer, intent(in) :: many
    real(real32), dimension(many), intent(in) :: a, b, c, d, e, f, g, h
    real(real64), intent(inout) :: total(many)
    integer :: row

    do row = 1, many
      total(row) = total(row) + a(row) + b(row) + c(row) + d(row) + e(row) + f(row) + g(row) + h(row)
    end do
  end subroutine add_leaves

  ! ---- In single precision -------------------------------------------------------------------

  ! Return the tendencies to add of every column.
  !
  ! Pass memory= where closura_memory(model) > 0: it is used, and left as it is. Each flag is the
  ! sum of closura_flag_missing (NaN or infinity) and closura_flag_outside (outside the training
  ! range). Columns are worked on in blocks; where closura_grid says that a column stands alone, its
  ! result depends on no other one.
  !
  ! An absent memory goes no further than here: compilers describe an absent array of two dimensions
  ! to the next routine with sums of numbers that nobody set.
  recursive subroutine enter_single(model, columns, tendencies, status, memory, flags)
    type(closura_model), intent(in) :: model
    real(real32), intent(in) :: columns(:, :)
    real(real32), intent(out) :: tendencies(:, :)
    integer, intent(out) :: status
    real(real32), intent(in), optional :: memory(:, :)
    integer, intent(out), optional :: flags(:)
    real(real32) :: none(0, 0)   ! the memory of a closure that needs none

    if (present(memory)) then
      call predict_whole(model, columns, tendencies, status, memory, flags)
    else
      call predict_whole(model, columns, tendencies, status, none, flags)
    end if
  end subroutine enter_single

  ! closura_predict where there is always a memory, if only one without rows.
  recursive subroutine predict_single(model, columns, tendencies, status, memory, flags)
    type(closura_model), intent(in) :: model
    real(real32), intent(in) :: columns(:, :)
    real(real32), intent(out) :: tendencies(:, :)
    integer, intent(out) :: status
    real(real32), intent(in) :: memory(:, :)
    integer, intent(out), optional :: flags(:)
    integer :: state(longest_block)
    integer :: first, last, count, block, missing
    real(real32) :: nowhere(1)

    call check_single(model, columns, tendencies, status, memory, flags)
    if (status /= closura_ok) return
    if (model%graph) then
      call graph_single(model, columns, tendencies, status, memory, flags)
      return
    end if
    missing = 0
    if (model%spheres) then
      call reserve_single(model, size(columns, 2), status)
      if (status /= closura_ok .or. size(columns, 2) == 0) return
      call spheres_single(model, columns, tendencies, work_state, work_single, missing, memory, flags)
    else
      nowhere = 0
      block = block_single(model)
      do first = 1, size(columns, 2), block
        last = min(first + block - 1, size(columns, 2))
        count = last - first + 1
        call inspect_single(model, columns(:, first:last), state(1:count))
        tendencies(:, first:last) = 0
        call pass_single(model, 1, size(model%operations), 0, first, last, columns, tendencies, &
          state(1:count), nowhere, .false., memory)
        call mark_single(model, state(1:count), tendencies(:, first:last), missing)
        if (present(flags)) flags(first:last) = state(1:count)
      end do
    end if
    if (missing > 0 .and. model%missing == closura_report) &
      status = status_of(closura_not_finite, missing)
  end subroutine predict_single

  ! Columns in a block.
  pure integer function block_single(model)
    type(closura_model), intent(in) :: model

    block_single = min(longest_block, buffer / padded_single(model%width), buffer / model%most_trees)
    block_single = max(group, block_single - mod(block_single, group))
  end function block_single

  pure integer function rows_to_block_single(rows)
    integer, intent(in) :: rows

    rows_to_block_single = min(longest_block, buffer / padded_single(rows))
    rows_to_block_single = max(group, rows_to_block_single - mod(rows_to_block_single, group))
  end function rows_to_block_single

  ! Check that columns are whole spheres, and see to it that the calling thread has its workspace.
  subroutine reserve_single(model, columns, status)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: columns
    integer, intent(out) :: status

    status = status_of(closura_wrong_sphere, model%together)
    if (mod(columns, model%together) /= 0) return
    status = closura_ok
    if (columns == 0) return
    call reserve_states(model%together, status)
    if (status /= closura_ok) return
    if (allocated(work_single)) then
      if (size(work_single, kind=int64) >= model%workspace) return
      deallocate(work_single)
    end if
    allocate(work_single(model%workspace), stat=status)
    if (status /= 0) then
      status = closura_out_of_memory
    else
      work_single = 0   ! windows at the edge reach for numbers that nobody wrote
    end if
  end subroutine reserve_single

  ! Some of the operations on a block of columns, from operation `from` to `to`; those before
  ! `before` belong to other spheres. `resume`: the panels were put down and are taken up again.
  recursive subroutine pass_single(model, from, to, before, first, last, columns, tendencies, state, &
    work, resume, memory)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: from, to, before, first, last
    real(real32), intent(in) :: columns(:, :)
    real(real32), intent(inout) :: tendencies(:, :), work(*)
    integer, intent(inout) :: state(:)
    logical, intent(in) :: resume
    real(real32), intent(in) :: memory(:, :)
    real(real32) :: panel(buffer, 2)
    integer(int32) :: leaves(buffer)
    integer :: count, place, now, row

    count = last - first + 1
    now = 1
    row = 0
    do place = 1, from - 1
      if (model%operations(place)%kind == op_noise) row = row + model%operations(place)%inputs
    end do
    if (resume) then
      place = model%operations(from - 1)%panel
      call take_up_single(place, model%held, count, work(held_at(model%held, first - before)), &
        panel(:, now))
    end if
    do place = from, to
      associate (one => model%operations(place))
        select case (one%kind)
        case (op_select)
          now = 1
          call gather_single(one, columns(:, first:last), state, panel(:, now))
        case (op_around)
          now = 1
          call look_around_single(one, first - before, &
            columns(:, before + 1:before + model%together), state, panel(:, now))
        case (op_image, op_mesh)
          call keep_single(one, first - before, count, panel(:, now), work(model%slots(1)))
        case (op_standardise)
          call standardise_single(one, count, panel(:, now))
        case (op_restore)
          call restore_single(one, count, panel(:, now))
        case (op_clip)
          call clip_single(one, count, panel(:, now))
        case (op_finite)
          call finite_or_zero_single(one, count, panel(:, now))
        case (op_novelty)
          call weigh_single(one, columns(:, first:last), panel(:, now), state)
        case (op_dense)
          call dense_single(one, count, panel(:, now), panel(:, 3 - now))
          now = 3 - now
        case (op_polynomial)
          call polynomial_single(one, count, panel(:, now), panel(:, 3 - now))
          now = 3 - now
        case (op_trees, op_rounds)
          call trees_single(one, count, panel(:, now), leaves, panel(:, 3 - now))
          now = 3 - now
        case (op_add)
          call add_single(one, panel(:, now), tendencies(:, first:last))
        case (op_noise)
          call add_memory_single(one, memory(row + 1:row + one%inputs, first:last), &
            tendencies(:, first:last))
          row = row + one%inputs
        end select
      end associate
    end do
    if (to < size(model%operations)) then
      place = model%operations(to + 1)%panel
      call put_down_single(place, model%held, count, panel(:, now), &
        work(held_at(model%held, first - before)))
    end if
  end subroutine pass_single

  ! A model that is a graph of ONNX: all columns at once. Columns that are not finite are replaced
  ! by zeros before, since hosts may trap what ONNX Runtime would make of them.
  recursive subroutine graph_single(model, columns, tendencies, status, memory, flags)
    type(closura_model), intent(in) :: model
    real(real32), intent(in) :: columns(:, :)
    real(real32), intent(inout) :: tendencies(:, :)
    integer, intent(out) :: status
    real(real32), intent(in) :: memory(:, :)
    integer, intent(out), optional :: flags(:)
    real(real32), allocatable :: cleaned(:, :)
    integer, allocatable :: state(:)
    integer :: place, row, missing, count

    count = size(columns, 2)
    missing = 0
    row = 0
    allocate(state(count), stat=status)
    if (status /= 0) then
      status = closura_out_of_memory
      return
    end if
    if (mod(count, model%together) /= 0) then
      status = status_of(closura_wrong_sphere, model%together)
      return
    end if
    call inspect_single(model, columns, state)
    do place = 1, count, model%together   ! what is missing anywhere is missing everywhere
      if (model%together == 1) exit
      if (any(iand(state(place:place + model%together - 1), closura_flag_missing) /= 0)) &
        state(place:place + model%together - 1) = closura_flag_missing
    end do
    if (any(iand(state, closura_flag_missing) /= 0)) then
      allocate(cleaned(model%inputs, count), stat=status)
      if (status /= 0) then
        status = closura_out_of_memory
        return
      end if
      cleaned(:, :) = columns
      do place = 1, count
        if (iand(state(place), closura_flag_missing) /= 0) cleaned(:, place) = 0
      end do
      call run_graph_single(model, count, cleaned, tendencies, status)
    else
      call run_graph_single(model, count, columns, tendencies, status)
    end if
    if (status /= closura_ok) return
    do place = 2, size(model%operations)   ! noise
      associate (one => model%operations(place))
        call add_memory_single(one, memory(row + 1:row + one%inputs, :), tendencies)
        row = row + one%inputs
      end associate
    end do
    call mark_single(model, state, tendencies, missing)
    if (present(flags)) flags = state
    if (missing > 0 .and. model%missing == closura_report) &
      status = status_of(closura_not_finite, missing)
  end subroutine graph_single

  recursive subroutine run_graph_single(model, count, columns, tendencies, status)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: count
    real(real32), intent(in) :: columns(model%inputs, count)
    real(real32), intent(inout) :: tendencies(model%outputs, count)
    integer, intent(out) :: status

#ifdef CLOSURA_ONNX
    status = closura_ok
    if (count > 0) call onnx_run(model%session, count, columns, tendencies, status)
    if (status == onnx_no_memory) then
      status = closura_out_of_memory
    else if (status /= closura_ok) then
      status = status_of(closura_onnx_refused, status)
    end if
#else
    tendencies = 0
    status = closura_needs_onnx
    if (size(columns) < 0) return
#endif
  end subroutine run_graph_single

  ! Fill a memory with its stationary distribution, from numbers drawn from N(0, 1).
  subroutine start_single(model, memory, normal, status)
    type(closura_model), intent(in) :: model
    real(real32), intent(inout) :: memory(:, :)   ! (closura_memory(model), columns)
    real(real32), intent(in) :: normal(:, :)      ! the same shape
    integer, intent(out) :: status
    integer :: place, row, number

    call check_memory_single(model, memory, normal, status)
    if (status /= closura_ok) return
    row = 0
    do place = 1, size(model%operations)
      if (model%operations(place)%kind /= op_noise) cycle
      do number = 1, model%operations(place)%inputs
        row = row + 1
        memory(row, :) = real(model%operations(place)%sigma(number), real32) * normal(row, :)
      end do
    end do
  end subroutine start_single

  ! Bring a memory one time step further: call it once a time step, not once a stage.
  subroutine advance_single(model, memory, normal, status)
    type(closura_model), intent(in) :: model
    real(real32), intent(inout) :: memory(:, :)   ! (closura_memory(model), columns)
    real(real32), intent(in) :: normal(:, :)      ! the same shape, drawn from N(0, 1)
    integer, intent(out) :: status
    integer :: place, row, number
    real(real64) :: phi, kick

    call check_memory_single(model, memory, normal, status)
    if (status /= closura_ok) return
    row = 0
    do place = 1, size(model%operations)
      if (model%operations(place)%kind /= op_noise) cycle
      do number = 1, model%operations(place)%inputs
        row = row + 1
        phi = model%operations(place)%phi(number)
        kick = model%operations(place)%sigma(number) * sqrt(max(0.0_real64, 1 - phi**2))
        memory(row, :) = real(phi * memory(row, :) + kick * normal(row, :), real32)
      end do
    end do
  end subroutine advance_single

  ! Draw numbers from N(0, 1) that depend on seed, step, the global number of a column and the row
  ! alone: a run is the same on any number of ranks. They are Threefry-2x32-20 with the key
  ! (seed, step) and the counter (column, row), both from 1, and Box and Muller's cosine.
  subroutine draw_single(seed, step, first_column, normal)
    integer, intent(in) :: seed, step
    integer, intent(in) :: first_column          ! global number of normal(:, 1), from 1
    real(real32), intent(out) :: normal(:, :)    ! (closura_memory(model), columns)
    integer :: column, row

    do column = 1, size(normal, 2)
      do row = 1, size(normal, 1)
        normal(row, column) = real(one_normal(seed, step, first_column + column - 1, row), real32)
      end do
    end do
  end subroutine draw_single

  subroutine check_single(model, columns, tendencies, status, memory, flags)
    type(closura_model), intent(in) :: model
    real(real32), intent(in) :: columns(:, :), tendencies(:, :)
    integer, intent(out) :: status
    real(real32), intent(in) :: memory(:, :)
    integer, intent(in), optional :: flags(:)

    status = closura_ok
    if (.not. model%loaded) then
      status = closura_not_loaded
    else if (iand(model%precision, closura_single) == 0) then
      status = closura_wrong_precision
    else if (size(columns, 1) /= model%inputs) then
      status = status_of(closura_wrong_inputs, size(columns, 1))
    else if (size(tendencies, 1) /= model%outputs) then
      status = status_of(closura_wrong_outputs, size(tendencies, 1))
    else if (size(tendencies, 2) /= size(columns, 2)) then
      status = status_of(closura_wrong_columns, size(tendencies, 2))
    end if
    if (status /= closura_ok) return
    if (size(memory, 1) /= model%memory) status = closura_wrong_memory
    if (model%memory > 0 .and. size(memory, 2) /= size(columns, 2)) status = closura_wrong_memory
    if (present(flags)) then
      if (size(flags) /= size(columns, 2)) status = status_of(closura_wrong_flags, size(flags))
    end if
  end subroutine check_single

  subroutine check_memory_single(model, memory, normal, status)
    type(closura_model), intent(in) :: model
    real(real32), intent(in) :: memory(:, :), normal(:, :)
    integer, intent(out) :: status

    status = closura_not_loaded
    if (.not. model%loaded) return
    status = closura_wrong_memory
    if (size(memory, 1) /= model%memory) return
    status = closura_wrong_normal
    if (any(shape(memory) /= shape(normal))) return
    status = closura_ok
  end subroutine check_memory_single

  ! Rows of a panel: a whole number of groups, so that every column takes the same path.
  pure integer function padded_single(rows)
    integer, intent(in) :: rows

    padded_single = max(1, (rows + rows_single - 1) / rows_single) * rows_single
  end function padded_single

  ! Whether a number is finite, from its bits: compilers may be told that all numbers are.
  elemental logical function finite_single(value)
    real(real32), intent(in) :: value

    finite_single = abs_bits_single(value) <= abs_bits_single(huge(value))
  end function finite_single

  pure subroutine inspect_single(model, columns, state)
    type(closura_model), intent(in) :: model
    real(real32), intent(in) :: columns(:, :)
    integer, intent(out) :: state(:)
    integer :: column

    do column = 1, size(columns, 2)
      state(column) = 0
      if (.not. all(finite_single(columns(:, column)))) then
        state(column) = closura_flag_missing
      else if (model%ranged) then
        if (any(columns(:, column) < model%lower_single) .or. &
          any(columns(:, column) > model%upper_single)) state(column) = closura_flag_outside
      end if
    end do
  end subroutine inspect_single

  pure subroutine gather_single(one, columns, state, panel)
    type(operation), intent(in) :: one
    real(real32), intent(in) :: columns(:, :)
    integer, intent(in) :: state(:)
    real(real32), intent(inout) :: panel(padded_single(one%inputs), *)
    integer :: column, row, count

    count = size(columns, 2)
    do column = 1, count
      if (iand(state(column), closura_flag_missing) /= 0) then
        panel(:, column) = 0   ! nothing is computed with NaN: hosts may trap it
      else
        do row = 1, one%inputs
          panel(row, column) = columns(one%indices(row), column)
        end do
        panel(one%inputs + 1:, column) = 0
      end if
    end do
    do column = count + 1, padded_columns(count)
      panel(:, column) = 0
    end do
  end subroutine gather_single

  pure subroutine standardise_single(one, count, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real32), intent(inout) :: panel(padded_single(one%inputs), *)
    integer :: column, rows

    rows = one%inputs
    do column = 1, count
      panel(1:rows, column) = (panel(1:rows, column) - one%first_single) * one%second_single
    end do
  end subroutine standardise_single

  pure subroutine restore_single(one, count, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real32), intent(inout) :: panel(padded_single(one%inputs), *)
    integer :: column, rows

    rows = one%inputs
    do column = 1, count
      panel(1:rows, column) = panel(1:rows, column) * one%second_single + one%first_single
    end do
  end subroutine restore_single

  pure subroutine finite_or_zero_single(one, count, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real32), intent(inout) :: panel(padded_single(one%inputs), *)
    integer :: column, row

    do column = 1, count
      do row = 1, one%inputs
        if (.not. finite_single(panel(row, column))) panel(row, column) = 0
      end do
    end do
  end subroutine finite_or_zero_single

  pure subroutine clip_single(one, count, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real32), intent(inout) :: panel(padded_single(one%inputs), *)
    integer :: column, rows

    rows = one%inputs
    do column = 1, count
      panel(1:rows, column) = min(max(panel(1:rows, column), one%first_single), one%second_single)
    end do
  end subroutine clip_single

  ! Multiply columns by less where they are new, and flag these.
  pure recursive subroutine weigh_single(one, columns, panel, state)
    type(operation), intent(in) :: one
    real(real32), intent(in) :: columns(:, :)
    real(real32), intent(inout) :: panel(padded_single(one%outputs), *)
    integer, intent(inout) :: state(:)
    real(real64) :: values(widest), weight
    integer :: column, row

    do column = 1, size(columns, 2)
      if (iand(state(column), closura_flag_missing) /= 0) cycle
      do row = 1, one%inputs
        values(row) = real(columns(one%indices(row), column), real64)
      end do
      weight = weight_of(one, values)
      if (weight < 1) state(column) = ior(state(column), closura_flag_novel)
      panel(:, column) = panel(:, column) * real(weight, real32)
    end do
  end subroutine weigh_single

  subroutine dense_single(one, count, before, after)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real32), intent(in) :: before(padded_single(one%inputs), *)
    real(real32), intent(inout) :: after(padded_single(one%outputs), *)
    integer :: columns, rows
#ifdef CLOSURA_BLAS
    integer :: column
#endif

    columns = padded_columns(count)
    rows = padded_single(one%outputs)
#ifdef CLOSURA_BLAS
    do column = 1, columns
      after(:, column) = one%first_single
    end do
    if (one%inputs > 0) call sgemm('N', 'N', rows, columns, one%inputs, 1.0_real32, &
      one%weights_single, rows, before, padded_single(one%inputs), 1.0_real32, after, rows)
#else
    call multiply_single(rows, columns, one%inputs, padded_single(one%inputs), &
      one%weights_single, one%first_single, before, after)
#endif
    call bend_single(one%activation, rows * columns, after)
  end subroutine dense_single

#ifndef CLOSURA_BLAS
  ! after = weights * before + offsets, 4 columns and one group of rows at a time.
  pure subroutine multiply_single(rows, columns, inputs, padded, weights, offsets, before, after)
    integer, intent(in) :: rows, columns, inputs, padded
    real(real32), intent(in) :: weights(rows_single, inputs, *), offsets(*), before(padded, *)
    real(real32), intent(inout) :: after(rows, *)
    real(real32), dimension(rows_single) :: a, b, c, d
    integer :: column, first, input, part, row

    do column = 1, columns, group
      do part = 1, rows / rows_single
        first = (part - 1) * rows_single + 1
        do row = 1, rows_single
          a(row) = offsets(first + row - 1)
          b(row) = offsets(first + row - 1)
          c(row) = offsets(first + row - 1)
          d(row) = offsets(first + row - 1)
        end do
        do input = 1, inputs
          do row = 1, rows_single
            a(row) = a(row) + weights(row, input, part) * before(input, column)
            b(row) = b(row) + weights(row, input, part) * before(input, column + 1)
            c(row) = c(row) + weights(row, input, part) * before(input, column + 2)
            d(row) = d(row) + weights(row, input, part) * before(input, column + 3)
          end do
        end do
        do row = 1, rows_single
          after(first + row - 1, column) = a(row)
          after(first + row - 1, column + 1) = b(row)
          after(first + row - 1, column + 2) = c(row)
          after(first + row - 1, column + 3) = d(row)
        end do
      end do
    end do
  end subroutine multiply_single
#endif

  ! Lay weights (outputs fastest) out as the kernel reads them, filled up with zeros.
  subroutine lay_out_single(one, weights, offsets, problem)
    type(operation), intent(inout) :: one
    real(real64), intent(in) :: weights(:), offsets(:)
    integer, intent(inout) :: problem
    integer :: input, output, rows, lead

    rows = padded_single(one%outputs)
#ifdef CLOSURA_BLAS
    lead = rows
#else
    lead = rows_single
#endif
    allocate(one%weights_single(lead, one%inputs, rows / lead), one%first_single(rows), stat=problem)
    if (problem /= 0) return
    one%weights_single = 0
    one%first_single = 0
    do input = 1, one%inputs
      do output = 1, one%outputs
        one%weights_single(mod(output - 1, lead) + 1, input, (output - 1) / lead + 1) = &
          real(weights((input - 1) * one%outputs + output), real32)
      end do
    end do
    one%first_single(1:one%outputs) = real(offsets, real32)
  end subroutine lay_out_single

  pure subroutine bend_single(activation, count, values)
    integer, intent(in) :: activation, count
    real(real32), intent(inout) :: values(count)
    real(real32), parameter :: half = 0.5_real32

    select case (activation)
    case (1)   ! relu
      values = max(values, 0.0_real32)
    case (2)   ! leaky relu
      values = merge(values, 0.01_real32 * values, values >= 0)
    case (3)   ! elu
      values = merge(values, exp(min(values, 0.0_real32)) - 1, values > 0)
    case (4)   ! gelu, by tanh: 0.79788 is sqrt(2 / pi)
      values = half * values * (1 + tanh(0.7978845608028653558798921198687637_real32 &
        * (values + 0.044715_real32 * values**3)))
    case (5)   ! silu; the logistic function by tanh never overflows
      values = values * half * (1 + tanh(half * values))
    case (6)   ! softplus
      values = max(values, 0.0_real32) + log(1 + exp(-abs(values)))
    case (7)   ! sigmoid
      values = half * (1 + tanh(half * values))
    case (8)
      values = tanh(values)
    end select
  end subroutine bend_single

  pure subroutine polynomial_single(one, count, before, after)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real32), intent(in) :: before(padded_single(one%inputs), *)
    real(real32), intent(inout) :: after(padded_single(one%outputs), *)
    real(real32) :: value
    integer :: column, term, input, power, place

    do column = 1, count
      after(:, column) = 0
      if (one%horner) then
        do term = one%terms, 1, -1
          place = (term - 1) * one%outputs
          after(1:one%outputs, column) = after(1:one%outputs, column) * before(1, column) &
            + one%first_single(place + 1:place + one%outputs)
        end do
        cycle
      end if
      do term = 1, one%terms
        value = 1
        do input = 1, one%inputs
          do power = 1, one%exponents(input, term)
            value = value * before(input, column)
          end do
        end do
        place = (term - 1) * one%outputs
        after(1:one%outputs, column) = after(1:one%outputs, column) &
          + value * one%first_single(place + 1:place + one%outputs)
      end do
    end do
  end subroutine polynomial_single

  ! Each tree goes over the whole block, so that its table stays in the cache; the leaves are
  ! summed in double precision.
  pure subroutine trees_single(one, count, before, leaves, after)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real32), intent(in) :: before(padded_single(one%inputs), *)
    integer(int32), intent(inout) :: leaves(one%trees, *)
    real(real32), intent(inout) :: after(padded_single(one%outputs), *)
    real(real64) :: total(accumulators)
    integer :: column, tree, first, last, many, place
    integer(int32) :: here(herd), below
    logical :: moved

    do tree = 1, one%trees
      do column = 1, count, herd
        many = min(herd, padded_columns(count - column + 1))
        here(1:many) = one%indices(tree)
        do   ! these go down together: one waits for memory while another goes on
          moved = .false.
          do place = 1, many
            below = below_single(one%nodes(here(place)), before(:, column + place - 1))
            moved = moved .or. below /= here(place)
            here(place) = below
          end do
          if (.not. moved) exit
        end do
        leaves(tree, column:column + many - 1) = one%leaf(here(1:many))
      end do
    end do
    if (one%kind == op_rounds) then
      call add_rounds_single(one, count, leaves, after)
      return
    end if
    do column = 1, count
      do first = 1, one%outputs, accumulators
        last = min(first + accumulators - 1, one%outputs)
        many = last - first + 1
        total(1:many) = 0
        do tree = 1, one%trees - flock + 1, flock
          call add_leaves(many, one%values(first:last, leaves(tree, column)), &
            one%values(first:last, leaves(tree + 1, column)), &
            one%values(first:last, leaves(tree + 2, column)), &
            one%values(first:last, leaves(tree + 3, column)), &
            one%values(first:last, leaves(tree + 4, column)), &
            one%values(first:last, leaves(tree + 5, column)), &
            one%values(first:last, leaves(tree + 6, column)), &
            one%values(first:last, leaves(tree + 7, column)), total)
        end do
        do tree = one%trees - mod(one%trees, flock) + 1, one%trees
          total(1:many) = total(1:many) + one%values(first:last, leaves(tree, column))
        end do
        after(first:last, column) = real(total(1:many) / one%divisor, real32)
      end do
    end do
  end subroutine trees_single

  ! In each round one tree stands for each output.
  pure subroutine add_rounds_single(one, count, leaves, after)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    integer(int32), intent(in) :: leaves(one%trees, *)
    real(real32), intent(inout) :: after(padded_single(one%outputs), *)
    real(real64) :: total(accumulators)
    integer :: column, first, many, round, place

    do column = 1, count
      do first = 0, one%outputs - 1, accumulators
        many = min(accumulators, one%outputs - first)
        total(1:many) = 0
        do round = first, one%trees - 1, one%outputs
          do place = 1, many
            total(place) = total(place) + real(one%values(1, leaves(round + place, column)), real64)
          end do
        end do
        after(first + 1:first + many, column) = real(total(1:many) / one%divisor, real32)
      end do
    end do
  end subroutine add_rounds_single

  ! The node that a column comes to next.
  pure integer(int32) function below_single(node, values)
    type(tree_node), intent(in) :: node
    real(real32), intent(in) :: values(*)

    below_single = node%left &
      + merge(1_int32, 0_int32, narrow_single(values(node%feature)) > node%threshold)
  end function below_single

  pure subroutine add_single(one, panel, tendencies)
    type(operation), intent(in) :: one
    real(real32), intent(in) :: panel(padded_single(one%inputs), *)
    real(real32), intent(inout) :: tendencies(:, :)
    integer :: column, row

    do column = 1, size(tendencies, 2)
      do row = 1, one%inputs
        tendencies(one%indices(row), column) = tendencies(one%indices(row), column) &
          + panel(row, column)
      end do
    end do
  end subroutine add_single

  pure subroutine add_memory_single(one, memory, tendencies)
    type(operation), intent(in) :: one
    real(real32), intent(in) :: memory(:, :)
    real(real32), intent(inout) :: tendencies(:, :)
    integer :: column, row

    do column = 1, size(tendencies, 2)
      do row = 1, one%inputs
        tendencies(one%indices(row), column) = tendencies(one%indices(row), column) &
          + memory(row, column)
      end do
    end do
  end subroutine add_memory_single

  ! Give columns that are not finite what the guard says, and count them.
  pure subroutine mark_single(model, state, tendencies, missing)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: state(:)
    real(real32), intent(inout) :: tendencies(:, :)
    integer, intent(inout) :: missing
    integer :: column

    do column = 1, size(state)
      if (iand(state(column), closura_flag_missing) == 0) cycle
      missing = missing + 1
      if (model%missing == closura_zero) then
        tendencies(:, column) = 0
      else
        tendencies(:, column) = nothing_single()
      end if
    end do
  end subroutine mark_single

  ! ---- Grids, in single precision: neighbours, images and meshes of whole spheres

  ! Whole spheres, one after the other: what is missing anywhere is missing wherever it is seen.
  recursive subroutine spheres_single(model, columns, tendencies, state, work, missing, memory, flags)
    type(closura_model), intent(in) :: model
    real(real32), intent(in) :: columns(:, :)
    real(real32), intent(inout) :: tendencies(:, :), work(*)
    integer, intent(inout) :: state(:), missing
    real(real32), intent(in) :: memory(:, :)
    integer, intent(inout), optional :: flags(:)
    integer :: first, last

    do first = 1, size(columns, 2), model%together
      last = first + model%together - 1
      call inspect_single(model, columns(:, first:last), state(1:model%together))
      call spoil(model, state(1:model%together))
      tendencies(:, first:last) = 0
      if (any(iand(state(1:model%together), closura_flag_missing) == 0)) &
        call one_sphere_single(model, first - 1, columns, tendencies, state, work, memory)
      call mark_single(model, state(1:model%together), tendencies(:, first:last), missing)
      if (present(flags)) flags(first:last) = state(1:model%together)
    end do
  end subroutine spheres_single

  ! Operations on panels go block by block; where one on the whole grid follows, the panels are put
  ! down until it is done.
  recursive subroutine one_sphere_single(model, before, columns, tendencies, state, work, memory)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: before
    real(real32), intent(in) :: columns(:, :)
    real(real32), intent(inout) :: tendencies(:, :), work(*)
    integer, intent(inout) :: state(:)
    real(real32), intent(in) :: memory(:, :)
    integer :: from, to, first, last, place, block
    logical :: resume

    block = block_single(model)
    resume = .false.
    from = 1
    do while (from <= size(model%operations))
      to = from - 1
      do while (to < size(model%operations))
        if (on_whole_grid(model%operations(to + 1)%kind)) exit
        to = to + 1
      end do
      !$omp parallel do private(last) schedule(static)
      do first = 1, model%together, block
        last = min(first + block - 1, model%together)
        call pass_single(model, from, to, before, before + first, before + last, columns, tendencies, &
          state(first:last), work, resume, memory)
      end do
      !$omp end parallel do
      do place = from, to
        if (model%operations(place)%kind == op_image) call go_on_single(model%operations(place), &
          work(model%slots(1)))
      end do
      do while (to < size(model%operations))
        if (.not. on_whole_grid(model%operations(to + 1)%kind)) exit
        to = to + 1
        call change_image_single(model, model%operations(to), work)
      end do
      resume = .true.
      from = to + 1
    end do
  end subroutine one_sphere_single

  subroutine change_image_single(model, one, work)
    type(closura_model), intent(in) :: model
    type(operation), intent(in) :: one
    real(real32), intent(inout) :: work(*)

    select case (one%kind)
    case (op_convolve)
      call convolve_single(one, work(model%slots(one%from)), work(model%slots(one%into)))
    case (op_coarsen)
      call coarsen_single(one%channels, one%rows, one%lines, work(model%slots(one%from)), &
        work(model%slots(3) + one%kept), work(model%slots(one%into)))
    case (op_refine)
      call refine_single(one%channels, one%beside, one%rows, one%lines, &
        work(model%slots(one%from)), work(model%slots(3) + one%kept), work(model%slots(one%into)))
    case (op_merge)
      call merge_single(one, model%together, model%held, work(model%slots(one%from)), work)
    case (op_tell)
      call tell_single(one, model%together, work(model%slots(1)), work(model%slots(2)))
    case (op_hear)
      call hear_single(one, model%operations(one%mesh), model%together, work(model%slots(2)), &
        work(model%slots(1)))
    end select
  end subroutine change_image_single

  ! Put panels down, or take them up again. A column has the same room whatever is put there:
  ! no block may write where another one has yet to read.
  pure subroutine put_down_single(rows, room, count, panel, held)
    integer, intent(in) :: rows, room, count
    real(real32), intent(in) :: panel(padded_single(rows), *)
    real(real32), intent(inout) :: held(room, *)
    integer :: column

    do column = 1, count
      held(1:rows, column) = panel(1:rows, column)
    end do
  end subroutine put_down_single

  pure subroutine take_up_single(rows, room, count, held, panel)
    integer, intent(in) :: rows, room, count
    real(real32), intent(in) :: held(room, *)
    real(real32), intent(inout) :: panel(padded_single(rows), *)
    integer :: column

    do column = 1, padded_columns(count)
      panel(rows + 1:, column) = 0
      if (column <= count) then
        panel(1:rows, column) = held(1:rows, column)
      else
        panel(1:rows, column) = 0
      end if
    end do
  end subroutine take_up_single

  ! Each column with the eight around it, then what the column alone knows.
  pure subroutine look_around_single(one, first, columns, state, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: first              ! number of the first column of the block
    real(real32), intent(in) :: columns(:, :)     ! of the whole grid
    integer, intent(in) :: state(:)
    real(real32), intent(inout) :: panel(padded_single(one%outputs), *)
    integer :: column, row, near, place, here(2)
    logical :: beyond
    real(real32) :: value

    do column = 1, size(state)
      panel(:, column) = 0
      if (iand(state(column), closura_flag_missing) /= 0) cycle
      place = 0
      do near = 0, 8
        call find_neighbour(one, first + column - 1, near, here, beyond)
        do row = 1, one%channels
          place = place + 1
          value = columns(one%indices(row), here(1))
          if (here(2) /= here(1)) value = 0.5_real32 * (value + columns(one%indices(row), here(2)))
          if (beyond) value = value * real(one%signs(row), real32)
          panel(place, column) = value
        end do
      end do
      do row = one%channels + 1, size(one%indices)
        panel(place + row - one%channels, column) = columns(one%indices(row), first + column - 1)
      end do
    end do
    do column = size(state) + 1, padded_columns(size(state))
      panel(:, column) = 0
    end do
  end subroutine look_around_single

  ! Keep a block of panels as part of an image, which has a border of one point, or of a mesh.
  pure subroutine keep_single(one, first, count, panel, image)
    type(operation), intent(in) :: one
    integer, intent(in) :: first, count
    real(real32), intent(in) :: panel(padded_single(one%inputs), *)
    real(real32), intent(inout) :: image(*)
    integer :: column
    integer(int64) :: at

    do column = 1, count
      at = one%inputs * point_of(one, first + column - 2)
      image(at + 1:at + one%inputs) = panel(1:one%inputs, column)
    end do
  end subroutine keep_single

  ! Rows after the last one, as the sphere goes on there.
  pure subroutine go_on_single(one, image)
    type(operation), intent(in) :: one
    real(real32), intent(inout) :: image(one%inputs, 0:one%lines + 1, 0:one%rows + one%extra + 1)
    integer :: row

    do row = 1, one%extra
      call cross_pole_single(one, one%inputs, &
        image(:, 1:one%lines, one%rows + 1 - row - merge(1, 0, one%poles(2))), &
        image(:, 1:one%lines, one%rows + row))
    end do
  end subroutine go_on_single

  ! A row as it follows on the other side of a pole: half-way round, vectors turned over.
  pure subroutine cross_pole_single(one, channels, row, beyond)
    type(operation), intent(in) :: one
    integer, intent(in) :: channels
    real(real32), intent(in) :: row(channels, one%lines)
    real(real32), intent(inout) :: beyond(channels, one%lines)
    integer :: line, half, other

    do line = 1, one%lines
      half = 1 + modulo(line - 1 - one%lines / 2, one%lines)
      beyond(:, line) = row(:, half)
      if (mod(one%lines, 2) == 1) then
        other = 1 + modulo(half - 2, one%lines)
        beyond(:, line) = 0.5_real32 * (row(:, half) + row(:, other))
      end if
      if (size(one%signs) > 0) beyond(:, line) = beyond(:, line) * real(one%signs, real32)
    end do
  end subroutine cross_pole_single

  ! Windows of 3 x 3 points times weights, bent. The border of the image is filled first.
  recursive subroutine convolve_single(one, image, found)
    type(operation), intent(in) :: one
    real(real32), intent(inout) :: image(*), found(*)
    integer :: row

    call surround_single(one, image)
    !$omp parallel do schedule(static)
    do row = 1, one%rows
      call convolve_row_single(one, row, image, found)
    end do
    !$omp end parallel do
  end subroutine convolve_single

  pure subroutine surround_single(one, image)
    type(operation), intent(in) :: one
    real(real32), intent(inout) :: image(one%channels, 0:one%lines + 1, 0:one%rows + 1)
    integer :: row

    call cross_pole_single(one, one%channels, &
      image(:, 1:one%lines, 1 + merge(1, 0, one%poles(1))), image(:, 1:one%lines, 0))
    call cross_pole_single(one, one%channels, &
      image(:, 1:one%lines, one%rows - merge(1, 0, one%poles(2))), image(:, 1:one%lines, one%rows + 1))
    do row = 0, one%rows + 1
      image(:, 0, row) = image(:, one%lines, row)
      image(:, one%lines + 1, row) = image(:, 1, row)
    end do
  end subroutine surround_single

  recursive subroutine convolve_row_single(one, row, image, found)
    type(operation), intent(in) :: one
    integer, intent(in) :: row
    real(real32), intent(in) :: image(*)
    real(real32), intent(inout) :: found(*)
    real(real32) :: after(buffer)
#ifdef CLOSURA_BLAS
    real(real32) :: before(buffer)
    integer :: line, column
#endif
    integer :: first, count, piece, rows, threefold
    integer(int64) :: at, stride, into

    rows = padded_single(one%outputs)
    threefold = 3 * one%channels
    stride = int(one%lines + 2, int64) * one%channels
    piece = buffer / rows
#ifdef CLOSURA_BLAS
    piece = min(piece, buffer / max(1, threefold))
#endif
    piece = max(group, piece - mod(piece, group))
    do first = 1, one%lines, piece
      count = min(piece, one%lines - first + 1)
      at = (row - 1) * stride + int(first - 1, int64) * one%channels
#ifdef CLOSURA_BLAS
      do column = 1, count
        after((column - 1) * rows + 1:column * rows) = one%first_single
      end do
      do line = 0, 2
        if (threefold == 0) exit
        do column = 0, count - 1
          before(column * threefold + 1:(column + 1) * threefold) = image(at + line * stride &
            + column * one%channels + 1:at + line * stride + column * one%channels + threefold)
        end do
        call sgemm('N', 'N', rows, count, threefold, 1.0_real32, &
          one%weights_single(1, line * threefold + 1, 1), rows, before, threefold, 1.0_real32, &
          after, rows)
      end do
#else
      call multiply_windows_single(rows, padded_columns(count), one%channels, stride, &
        one%weights_single, one%first_single, image(at + 1), after)
#endif
      call bend_single(one%activation, rows * count, after)
      into = (int(row, int64) * (one%lines + 2) + first) * one%outputs
      call put_down_single(one%outputs, one%outputs, count, after, found(into + 1))
    end do
  end subroutine convolve_row_single

#ifndef CLOSURA_BLAS
  ! The windows of points that follow each other: in each of three rows of the image a window is
  ! 3 points long and begins one point after the one before it.
  pure subroutine multiply_windows_single(rows, columns, channels, stride, weights, offsets, image, &
    after)
    integer, intent(in) :: rows, columns, channels
    integer(int64), intent(in) :: stride
    real(real32), intent(in) :: weights(rows_single, 3 * channels, 0:2, *), offsets(*), image(*)
    real(real32), intent(inout) :: after(rows, *)
    real(real32), dimension(rows_single) :: a, b, c, d
    integer :: column, first, input, line, part, row
    integer(int64) :: at, bt, ct, dt

    do part = 1, rows / rows_single
      first = (part - 1) * rows_single + 1
      do column = 1, columns, group
        do row = 1, rows_single
          a(row) = offsets(first + row - 1)
          b(row) = offsets(first + row - 1)
          c(row) = offsets(first + row - 1)
          d(row) = offsets(first + row - 1)
        end do
        do line = 0, 2
          at = line * stride + int(column - 1, int64) * channels
          bt = at + channels
          ct = bt + channels
          dt = ct + channels
          do input = 1, 3 * channels
            do row = 1, rows_single
              a(row) = a(row) + weights(row, input, line, part) * image(at + input)
              b(row) = b(row) + weights(row, input, line, part) * image(bt + input)
              c(row) = c(row) + weights(row, input, line, part) * image(ct + input)
              d(row) = d(row) + weights(row, input, line, part) * image(dt + input)
            end do
          end do
        end do
        do row = 1, rows_single
          after(first + row - 1, column) = a(row)
          after(first + row - 1, column + 1) = b(row)
          after(first + row - 1, column + 2) = c(row)
          after(first + row - 1, column + 3) = d(row)
        end do
      end do
    end do
  end subroutine multiply_windows_single
#endif

  ! The means of 2 x 2 points; the image itself is kept for the way up.
  pure subroutine coarsen_single(channels, rows, lines, image, kept, coarse)
    integer, intent(in) :: channels, rows, lines   ! of the coarse image
    real(real32), intent(in) :: image(channels, 0:2 * lines + 1, 0:2 * rows + 1)
    real(real32), intent(inout) :: kept(channels, 2 * lines, 2 * rows)
    real(real32), intent(inout) :: coarse(channels, 0:lines + 1, 0:rows + 1)
    integer :: line, row

    kept = image(:, 1:2 * lines, 1:2 * rows)
    do row = 1, rows
      do line = 1, lines
        coarse(:, line, row) = 0.25_real32 * (image(:, 2 * line - 1, 2 * row - 1) &
          + image(:, 2 * line, 2 * row - 1) + image(:, 2 * line - 1, 2 * row) &
          + image(:, 2 * line, 2 * row))
      end do
    end do
  end subroutine coarsen_single

  ! What was kept, and beside it each coarse point four times.
  pure subroutine refine_single(channels, beside, rows, lines, coarse, kept, image)
    integer, intent(in) :: channels, beside, rows, lines   ! rows and lines of the fine image
    real(real32), intent(in) :: coarse(channels, 0:lines / 2 + 1, 0:rows / 2 + 1)
    real(real32), intent(in) :: kept(beside, lines, rows)
    real(real32), intent(inout) :: image(beside + channels, 0:lines + 1, 0:rows + 1)
    integer :: line, row

    do row = 1, rows
      do line = 1, lines
        image(1:beside, line, row) = kept(:, line, row)
        image(beside + 1:, line, row) = coarse(:, (line + 1) / 2, (row + 1) / 2)
      end do
    end do
  end subroutine refine_single

  ! An image or a mesh through a matrix, added to the panels.
  recursive subroutine merge_single(one, columns, room, image, held)
    type(operation), intent(in) :: one
    integer, intent(in) :: columns, room
    real(real32), intent(in) :: image(*)
    real(real32), intent(inout) :: held(room, *)
    integer :: first, block

    block = rows_to_block_single(max(one%inputs, one%outputs))
    !$omp parallel do schedule(static)
    do first = 1, columns, block
      call merge_block_single(one, first, min(block, columns - first + 1), room, image, &
        held(1, first))
    end do
    !$omp end parallel do
  end subroutine merge_single

  recursive subroutine merge_block_single(one, first, count, room, image, held)
    type(operation), intent(in) :: one
    integer, intent(in) :: first, count, room
    real(real32), intent(in) :: image(*)
    real(real32), intent(inout) :: held(room, *)
    real(real32) :: panel(buffer, 2)
    integer :: column, at, rows

    call look_up_single(one, first, count, image, panel(:, 1))
    call dense_single(one, count, panel(:, 1), panel(:, 2))
    rows = one%outputs
    do column = 1, count
      at = (column - 1) * padded_single(rows)
      held(1:rows, column) = held(1:rows, column) + panel(at + 1:at + rows, 2)
    end do
  end subroutine merge_block_single

  ! A block of points of an image or a mesh, as a panel.
  pure subroutine look_up_single(one, first, count, image, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: first, count
    real(real32), intent(in) :: image(*)
    real(real32), intent(inout) :: panel(padded_single(one%inputs), *)
    integer :: column
    integer(int64) :: at

    do column = 1, padded_columns(count)
      panel(one%inputs + 1:, column) = 0
      if (column <= count) then
        at = one%inputs * point_of(one, first + column - 2)
        panel(1:one%inputs, column) = image(at + 1:at + one%inputs)
      else
        panel(1:one%inputs, column) = 0
      end if
    end do
  end subroutine look_up_single

  ! What every node of a mesh has to say to others and to itself: a matrix for all of it.
  recursive subroutine tell_single(one, nodes, values, table)
    type(operation), intent(in) :: one
    integer, intent(in) :: nodes
    real(real32), intent(in) :: values(*)
    real(real32), intent(inout) :: table(one%outputs, *)
    integer :: first, block

    block = rows_to_block_single(max(one%inputs, one%outputs))
    !$omp parallel do schedule(static)
    do first = 1, nodes, block
      call tell_block_single(one, first, min(block, nodes - first + 1), values, table(1, first))
    end do
    !$omp end parallel do
  end subroutine tell_single

  recursive subroutine tell_block_single(one, first, count, values, table)
    type(operation), intent(in) :: one
    integer, intent(in) :: first, count
    real(real32), intent(in) :: values(*)
    real(real32), intent(inout) :: table(one%outputs, *)
    real(real32) :: panel(buffer, 2)

    call look_up_single(one, first, count, values, panel(:, 1))
    call dense_single(one, count, panel(:, 1), panel(:, 2))
    call put_down_single(one%outputs, one%outputs, count, panel(:, 2), table)
  end subroutine tell_block_single

  ! Each node hears the mean message of its neighbours, and becomes what it makes of it.
  recursive subroutine hear_single(one, mesh, nodes, table, values)
    type(operation), intent(in) :: one, mesh
    integer, intent(in) :: nodes
    real(real32), intent(in) :: table(*)
    real(real32), intent(inout) :: values(one%outputs, *)
    integer :: first, block

    block = rows_to_block_single(one%outputs)
    !$omp parallel do schedule(static)
    do first = 1, nodes, block
      call hear_block_single(one, mesh, first, min(block, nodes - first + 1), table, values(1, first))
    end do
    !$omp end parallel do
  end subroutine hear_single

  recursive subroutine hear_block_single(one, mesh, first, count, table, values)
    type(operation), intent(in) :: one, mesh
    integer, intent(in) :: first, count
    real(real32), intent(in) :: table(one%outputs, one%parts, *)
    real(real32), intent(inout) :: values(one%outputs, *)
    real(real32) :: panel(buffer, 2), taken(widest)
    integer :: column, at, width

    width = one%outputs
    call listen_single(one, mesh, first, count, table, panel(:, 1))
    call dense_single(one, count, panel(:, 1), panel(:, 2))
    do column = 1, count
      at = (column - 1) * padded_single(width)
      taken(1:width) = table(:, one%parts, first + column - 1) + panel(at + 1:at + width, 2)
      call bend_single(one%bend, width, taken)
      if (one%residual) taken(1:width) = taken(1:width) + values(:, column)
      values(:, column) = taken(1:width)
    end do
  end subroutine hear_block_single

  ! The mean message that each node of a block hears. A message depends on the sender (its wind
  ! turned to the receiver's east and north), on the receiver, and on where the sender lies.
  pure recursive subroutine listen_single(one, mesh, first, count, table, panel)
    type(operation), intent(in) :: one, mesh
    integer, intent(in) :: first, count
    real(real32), intent(in) :: table(one%outputs, one%parts, *)
    real(real32), intent(inout) :: panel(padded_single(one%outputs), *)
    real(real32) :: message(widest), tell(6)
    integer :: column, node, sender, number, width
    integer(int64) :: edge

    width = one%outputs
    do column = 1, padded_columns(count)
      panel(:, column) = 0
      if (column > count) cycle
      node = first + column - 1
      do number = 1, mesh%neighbours
        edge = int(node - 1, int64) * mesh%neighbours + number
        sender = mesh%indices(edge)
        tell = mesh%extra_single(6 * edge - 5:6 * edge)   ! share, step (3), turn (2)
        message(1:width) = table(:, 1, sender)
        if (one%parts == 5) message(1:width) = message(1:width) + tell(5) * table(:, 2, sender) &
          + tell(6) * table(:, 3, sender)
        message(1:width) = message(1:width) * (1 + tell(2) * one%extra_single(1:width) &
          + tell(3) * one%extra_single(width + 1:2 * width) &
          + tell(4) * one%extra_single(2 * width + 1:3 * width))
        message(1:width) = message(1:width) + table(:, one%parts - 1, node) &
          + tell(2) * one%extra_single(3 * width + 1:4 * width) &
          + tell(3) * one%extra_single(4 * width + 1:5 * width) &
          + tell(4) * one%extra_single(5 * width + 1:6 * width)
        call bend_single(one%bend, width, message)
        panel(1:width, column) = panel(1:width, column) + tell(1) * message(1:width)
      end do
    end do
  end subroutine listen_single

  elemental integer(int32) function abs_bits_single(value)
    real(real32), intent(in) :: value

    abs_bits_single = ibclr(transfer(value, 1_int32), 31)
  end function abs_bits_single

  ! A quiet NaN, made of bits: computing one may be trapped.
  pure real(real32) function nothing_single()
    nothing_single = transfer(2143289344_int32, 1.0_real32)
  end function nothing_single

  ! As the closure compares it with a threshold: in float32.
  elemental real(real32) function narrow_single(value)
    real(real32), intent(in) :: value

    narrow_single = value
  end function narrow_single

  ! closura_predict for single precision: where the closure loses too many digits, the file says
  ! that it is to be computed in double precision, a block of columns at a time.
  recursive subroutine predict_columns(model, columns, tendencies, status, memory, flags)
    type(closura_model), intent(in) :: model
    real(real32), intent(in) :: columns(:, :)
    real(real32), intent(out) :: tendencies(:, :)
    integer, intent(out) :: status
    real(real32), intent(in) :: memory(:, :)
    integer, intent(out), optional :: flags(:)
    integer, parameter :: length = widest
    real(real64) :: wide(length), remembered(length), found(length)
    integer :: state(longest_block)
    integer :: first, last, block, missing

    if (.not. model%precise) then
      call predict_single(model, columns, tendencies, status, memory, flags)
      return
    end if
    call check_single(model, columns, tendencies, status, memory, flags)
    if (status /= closura_ok) return
    if (model%spheres) then
      call predict_wide_spheres(model, columns, tendencies, status, memory, flags)
      return
    end if
    block = max(1, min(longest_block, length / max(model%inputs, model%outputs, model%memory, 1)))
    missing = 0
    do first = 1, size(columns, 2), block
      last = min(first + block - 1, size(columns, 2))
      call widen(columns(:, first:last), wide)
      if (model%memory > 0) call widen(memory(:, first:last), remembered)
      call predict_panels(model, last - first + 1, wide, remembered, found, state, status)
      if (status /= closura_ok .and. mod(status, 1000) /= closura_not_finite) return
      missing = missing + status / 1000
      call narrow(found, tendencies(:, first:last))
      if (present(flags)) flags(first:last) = state(1:last - first + 1)
    end do
    status = closura_ok
    if (missing > 0) status = status_of(closura_not_finite, missing)
  end subroutine predict_columns

  ! The same for whole spheres, one after the other, in the workspace of the thread.
  recursive subroutine predict_wide_spheres(model, columns, tendencies, status, memory, flags)
    type(closura_model), intent(in) :: model
    real(real32), intent(in) :: columns(:, :)
    real(real32), intent(inout) :: tendencies(:, :)
    integer, intent(out) :: status
    real(real32), intent(in) :: memory(:, :)
    integer, intent(inout), optional :: flags(:)
    integer(int64) :: found, remembered
    integer :: first, last, count, missing

    count = model%together
    remembered = int(model%inputs, int64) * count + 1
    found = remembered + int(model%memory, int64) * count
    call reserve_double(model, size(columns, 2), status)
    if (status /= closura_ok .or. size(columns, 2) == 0) return
    call reserve_wide(found + int(model%outputs, int64) * count, count, status)
    if (status /= closura_ok) return
    missing = 0
    do first = 1, size(columns, 2), count
      last = first + count - 1
      call widen(columns(:, first:last), work_wide)
      if (model%memory > 0) call widen(memory(:, first:last), work_wide(remembered:))
      call predict_panels(model, count, work_wide, work_wide(remembered:), work_wide(found:), &
        work_flags, status)
      if (status /= closura_ok .and. mod(status, 1000) /= closura_not_finite) return
      missing = missing + status / 1000
      call narrow(work_wide(found:), tendencies(:, first:last))
      if (present(flags)) flags(first:last) = work_flags(1:count)
    end do
    status = closura_ok
    if (missing > 0) status = status_of(closura_not_finite, missing)
  end subroutine predict_wide_spheres

  subroutine reserve_wide(numbers, columns, status)
    integer(int64), intent(in) :: numbers
    integer, intent(in) :: columns
    integer, intent(out) :: status

    status = closura_ok
    if (allocated(work_wide)) then
      if (size(work_wide, kind=int64) >= numbers .and. size(work_flags) >= columns) return
      deallocate(work_wide)
    end if
    if (allocated(work_flags)) deallocate(work_flags)
    allocate(work_wide(numbers), work_flags(columns), stat=status)
    if (status /= 0) status = closura_out_of_memory
  end subroutine reserve_wide

  recursive subroutine predict_panels(model, count, columns, memory, tendencies, state, status)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: count
    real(real64), intent(in) :: columns(model%inputs, count), memory(model%memory, count)
    real(real64), intent(out) :: tendencies(model%outputs, count)
    integer, intent(out) :: state(count), status

    call predict_double(model, columns, tendencies, status, memory=memory, flags=state)
  end subroutine predict_panels

  pure subroutine widen(values, wide)
    real(real32), intent(in) :: values(:, :)
    real(real64), intent(inout) :: wide(size(values, 1), *)
    integer :: column

    do column = 1, size(values, 2)
      wide(:, column) = values(:, column)
    end do
  end subroutine widen

  subroutine narrow(wide, values)
    real(real32), intent(inout) :: values(:, :)
    real(real64), intent(in) :: wide(size(values, 1), *)
    integer :: column, row

    do column = 1, size(values, 2)
      do row = 1, size(values, 1)
        if (finite_double(wide(row, column))) then
          values(row, column) = to_single(wide(row, column))
        else
          values(row, column) = nothing_single()
        end if
      end do
    end do
  end subroutine narrow

  ! ---- In double precision -------------------------------------------------------------------

  ! Return the tendencies to add of every column.
  !
  ! Pass memory= where closura_memory(model) > 0: it is used, and left as it is. Each flag is the
  ! sum of closura_flag_missing (NaN or infinity) and closura_flag_outside (outside the training
  ! range). Columns are worked on in blocks; where closura_grid says that a column stands alone, its
  ! result depends on no other one.
  !
  ! An absent memory goes no further than here: compilers describe an absent array of two dimensions
  ! to the next routine with sums of numbers that nobody set.
  recursive subroutine enter_double(model, columns, tendencies, status, memory, flags)
    type(closura_model), intent(in) :: model
    real(real64), intent(in) :: columns(:, :)
    real(real64), intent(out) :: tendencies(:, :)
    integer, intent(out) :: status
    real(real64), intent(in), optional :: memory(:, :)
    integer, intent(out), optional :: flags(:)
    real(real64) :: none(0, 0)   ! the memory of a closure that needs none

    if (present(memory)) then
      call predict_whole(model, columns, tendencies, status, memory, flags)
    else
      call predict_whole(model, columns, tendencies, status, none, flags)
    end if
  end subroutine enter_double

  ! closura_predict where there is always a memory, if only one without rows.
  recursive subroutine predict_double(model, columns, tendencies, status, memory, flags)
    type(closura_model), intent(in) :: model
    real(real64), intent(in) :: columns(:, :)
    real(real64), intent(out) :: tendencies(:, :)
    integer, intent(out) :: status
    real(real64), intent(in) :: memory(:, :)
    integer, intent(out), optional :: flags(:)
    integer :: state(longest_block)
    integer :: first, last, count, block, missing
    real(real64) :: nowhere(1)

    call check_double(model, columns, tendencies, status, memory, flags)
    if (status /= closura_ok) return
    if (model%graph) then
      call graph_double(model, columns, tendencies, status, memory, flags)
      return
    end if
    missing = 0
    if (model%spheres) then
      call reserve_double(model, size(columns, 2), status)
      if (status /= closura_ok .or. size(columns, 2) == 0) return
      call spheres_double(model, columns, tendencies, work_state, work_double, missing, memory, flags)
    else
      nowhere = 0
      block = block_double(model)
      do first = 1, size(columns, 2), block
        last = min(first + block - 1, size(columns, 2))
        count = last - first + 1
        call inspect_double(model, columns(:, first:last), state(1:count))
        tendencies(:, first:last) = 0
        call pass_double(model, 1, size(model%operations), 0, first, last, columns, tendencies, &
          state(1:count), nowhere, .false., memory)
        call mark_double(model, state(1:count), tendencies(:, first:last), missing)
        if (present(flags)) flags(first:last) = state(1:count)
      end do
    end if
    if (missing > 0 .and. model%missing == closura_report) &
      status = status_of(closura_not_finite, missing)
  end subroutine predict_double

  ! Columns in a block.
  pure integer function block_double(model)
    type(closura_model), intent(in) :: model

    block_double = min(longest_block, buffer / padded_double(model%width), buffer / model%most_trees)
    block_double = max(group, block_double - mod(block_double, group))
  end function block_double

  pure integer function rows_to_block_double(rows)
    integer, intent(in) :: rows

    rows_to_block_double = min(longest_block, buffer / padded_double(rows))
    rows_to_block_double = max(group, rows_to_block_double - mod(rows_to_block_double, group))
  end function rows_to_block_double

  ! Check that columns are whole spheres, and see to it that the calling thread has its workspace.
  subroutine reserve_double(model, columns, status)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: columns
    integer, intent(out) :: status

    status = status_of(closura_wrong_sphere, model%together)
    if (mod(columns, model%together) /= 0) return
    status = closura_ok
    if (columns == 0) return
    call reserve_states(model%together, status)
    if (status /= closura_ok) return
    if (allocated(work_double)) then
      if (size(work_double, kind=int64) >= model%workspace) return
      deallocate(work_double)
    end if
    allocate(work_double(model%workspace), stat=status)
    if (status /= 0) then
      status = closura_out_of_memory
    else
      work_double = 0   ! windows at the edge reach for numbers that nobody wrote
    end if
  end subroutine reserve_double

  ! Some of the operations on a block of columns, from operation `from` to `to`; those before
  ! `before` belong to other spheres. `resume`: the panels were put down and are taken up again.
  recursive subroutine pass_double(model, from, to, before, first, last, columns, tendencies, state, &
    work, resume, memory)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: from, to, before, first, last
    real(real64), intent(in) :: columns(:, :)
    real(real64), intent(inout) :: tendencies(:, :), work(*)
    integer, intent(inout) :: state(:)
    logical, intent(in) :: resume
    real(real64), intent(in) :: memory(:, :)
    real(real64) :: panel(buffer, 2)
    integer(int32) :: leaves(buffer)
    integer :: count, place, now, row

    count = last - first + 1
    now = 1
    row = 0
    do place = 1, from - 1
      if (model%operations(place)%kind == op_noise) row = row + model%operations(place)%inputs
    end do
    if (resume) then
      place = model%operations(from - 1)%panel
      call take_up_double(place, model%held, count, work(held_at(model%held, first - before)), &
        panel(:, now))
    end if
    do place = from, to
      associate (one => model%operations(place))
        select case (one%kind)
        case (op_select)
          now = 1
          call gather_double(one, columns(:, first:last), state, panel(:, now))
        case (op_around)
          now = 1
          call look_around_double(one, first - before, &
            columns(:, before + 1:before + model%together), state, panel(:, now))
        case (op_image, op_mesh)
          call keep_double(one, first - before, count, panel(:, now), work(model%slots(1)))
        case (op_standardise)
          call standardise_double(one, count, panel(:, now))
        case (op_restore)
          call restore_double(one, count, panel(:, now))
        case (op_clip)
          call clip_double(one, count, panel(:, now))
        case (op_finite)
          call finite_or_zero_double(one, count, panel(:, now))
        case (op_novelty)
          call weigh_double(one, columns(:, first:last), panel(:, now), state)
        case (op_dense)
          call dense_double(one, count, panel(:, now), panel(:, 3 - now))
          now = 3 - now
        case (op_polynomial)
          call polynomial_double(one, count, panel(:, now), panel(:, 3 - now))
          now = 3 - now
        case (op_trees, op_rounds)
          call trees_double(one, count, panel(:, now), leaves, panel(:, 3 - now))
          now = 3 - now
        case (op_add)
          call add_double(one, panel(:, now), tendencies(:, first:last))
        case (op_noise)
          call add_memory_double(one, memory(row + 1:row + one%inputs, first:last), &
            tendencies(:, first:last))
          row = row + one%inputs
        end select
      end associate
    end do
    if (to < size(model%operations)) then
      place = model%operations(to + 1)%panel
      call put_down_double(place, model%held, count, panel(:, now), &
        work(held_at(model%held, first - before)))
    end if
  end subroutine pass_double

  ! A model that is a graph of ONNX: all columns at once. Columns that are not finite are replaced
  ! by zeros before, since hosts may trap what ONNX Runtime would make of them.
  recursive subroutine graph_double(model, columns, tendencies, status, memory, flags)
    type(closura_model), intent(in) :: model
    real(real64), intent(in) :: columns(:, :)
    real(real64), intent(inout) :: tendencies(:, :)
    integer, intent(out) :: status
    real(real64), intent(in) :: memory(:, :)
    integer, intent(out), optional :: flags(:)
    real(real64), allocatable :: cleaned(:, :)
    integer, allocatable :: state(:)
    integer :: place, row, missing, count

    count = size(columns, 2)
    missing = 0
    row = 0
    allocate(state(count), stat=status)
    if (status /= 0) then
      status = closura_out_of_memory
      return
    end if
    if (mod(count, model%together) /= 0) then
      status = status_of(closura_wrong_sphere, model%together)
      return
    end if
    call inspect_double(model, columns, state)
    do place = 1, count, model%together   ! what is missing anywhere is missing everywhere
      if (model%together == 1) exit
      if (any(iand(state(place:place + model%together - 1), closura_flag_missing) /= 0)) &
        state(place:place + model%together - 1) = closura_flag_missing
    end do
    if (any(iand(state, closura_flag_missing) /= 0)) then
      allocate(cleaned(model%inputs, count), stat=status)
      if (status /= 0) then
        status = closura_out_of_memory
        return
      end if
      cleaned(:, :) = columns
      do place = 1, count
        if (iand(state(place), closura_flag_missing) /= 0) cleaned(:, place) = 0
      end do
      call run_graph_double(model, count, cleaned, tendencies, status)
    else
      call run_graph_double(model, count, columns, tendencies, status)
    end if
    if (status /= closura_ok) return
    do place = 2, size(model%operations)   ! noise
      associate (one => model%operations(place))
        call add_memory_double(one, memory(row + 1:row + one%inputs, :), tendencies)
        row = row + one%inputs
      end associate
    end do
    call mark_double(model, state, tendencies, missing)
    if (present(flags)) flags = state
    if (missing > 0 .and. model%missing == closura_report) &
      status = status_of(closura_not_finite, missing)
  end subroutine graph_double

  recursive subroutine run_graph_double(model, count, columns, tendencies, status)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: count
    real(real64), intent(in) :: columns(model%inputs, count)
    real(real64), intent(inout) :: tendencies(model%outputs, count)
    integer, intent(out) :: status

#ifdef CLOSURA_ONNX
    status = closura_ok
    if (count > 0) call onnx_run(model%session, count, columns, tendencies, status)
    if (status == onnx_no_memory) then
      status = closura_out_of_memory
    else if (status /= closura_ok) then
      status = status_of(closura_onnx_refused, status)
    end if
#else
    tendencies = 0
    status = closura_needs_onnx
    if (size(columns) < 0) return
#endif
  end subroutine run_graph_double

  ! Fill a memory with its stationary distribution, from numbers drawn from N(0, 1).
  subroutine start_double(model, memory, normal, status)
    type(closura_model), intent(in) :: model
    real(real64), intent(inout) :: memory(:, :)   ! (closura_memory(model), columns)
    real(real64), intent(in) :: normal(:, :)      ! the same shape
    integer, intent(out) :: status
    integer :: place, row, number

    call check_memory_double(model, memory, normal, status)
    if (status /= closura_ok) return
    row = 0
    do place = 1, size(model%operations)
      if (model%operations(place)%kind /= op_noise) cycle
      do number = 1, model%operations(place)%inputs
        row = row + 1
        memory(row, :) = real(model%operations(place)%sigma(number), real64) * normal(row, :)
      end do
    end do
  end subroutine start_double

  ! Bring a memory one time step further: call it once a time step, not once a stage.
  subroutine advance_double(model, memory, normal, status)
    type(closura_model), intent(in) :: model
    real(real64), intent(inout) :: memory(:, :)   ! (closura_memory(model), columns)
    real(real64), intent(in) :: normal(:, :)      ! the same shape, drawn from N(0, 1)
    integer, intent(out) :: status
    integer :: place, row, number
    real(real64) :: phi, kick

    call check_memory_double(model, memory, normal, status)
    if (status /= closura_ok) return
    row = 0
    do place = 1, size(model%operations)
      if (model%operations(place)%kind /= op_noise) cycle
      do number = 1, model%operations(place)%inputs
        row = row + 1
        phi = model%operations(place)%phi(number)
        kick = model%operations(place)%sigma(number) * sqrt(max(0.0_real64, 1 - phi**2))
        memory(row, :) = real(phi * memory(row, :) + kick * normal(row, :), real64)
      end do
    end do
  end subroutine advance_double

  ! Draw numbers from N(0, 1) that depend on seed, step, the global number of a column and the row
  ! alone: a run is the same on any number of ranks. They are Threefry-2x32-20 with the key
  ! (seed, step) and the counter (column, row), both from 1, and Box and Muller's cosine.
  subroutine draw_double(seed, step, first_column, normal)
    integer, intent(in) :: seed, step
    integer, intent(in) :: first_column          ! global number of normal(:, 1), from 1
    real(real64), intent(out) :: normal(:, :)    ! (closura_memory(model), columns)
    integer :: column, row

    do column = 1, size(normal, 2)
      do row = 1, size(normal, 1)
        normal(row, column) = real(one_normal(seed, step, first_column + column - 1, row), real64)
      end do
    end do
  end subroutine draw_double

  subroutine check_double(model, columns, tendencies, status, memory, flags)
    type(closura_model), intent(in) :: model
    real(real64), intent(in) :: columns(:, :), tendencies(:, :)
    integer, intent(out) :: status
    real(real64), intent(in) :: memory(:, :)
    integer, intent(in), optional :: flags(:)

    status = closura_ok
    if (.not. model%loaded) then
      status = closura_not_loaded
    else if (iand(model%precision, closura_double) == 0) then
      status = closura_wrong_precision
    else if (size(columns, 1) /= model%inputs) then
      status = status_of(closura_wrong_inputs, size(columns, 1))
    else if (size(tendencies, 1) /= model%outputs) then
      status = status_of(closura_wrong_outputs, size(tendencies, 1))
    else if (size(tendencies, 2) /= size(columns, 2)) then
      status = status_of(closura_wrong_columns, size(tendencies, 2))
    end if
    if (status /= closura_ok) return
    if (size(memory, 1) /= model%memory) status = closura_wrong_memory
    if (model%memory > 0 .and. size(memory, 2) /= size(columns, 2)) status = closura_wrong_memory
    if (present(flags)) then
      if (size(flags) /= size(columns, 2)) status = status_of(closura_wrong_flags, size(flags))
    end if
  end subroutine check_double

  subroutine check_memory_double(model, memory, normal, status)
    type(closura_model), intent(in) :: model
    real(real64), intent(in) :: memory(:, :), normal(:, :)
    integer, intent(out) :: status

    status = closura_not_loaded
    if (.not. model%loaded) return
    status = closura_wrong_memory
    if (size(memory, 1) /= model%memory) return
    status = closura_wrong_normal
    if (any(shape(memory) /= shape(normal))) return
    status = closura_ok
  end subroutine check_memory_double

  ! Rows of a panel: a whole number of groups, so that every column takes the same path.
  pure integer function padded_double(rows)
    integer, intent(in) :: rows

    padded_double = max(1, (rows + rows_double - 1) / rows_double) * rows_double
  end function padded_double

  ! Whether a number is finite, from its bits: compilers may be told that all numbers are.
  elemental logical function finite_double(value)
    real(real64), intent(in) :: value

    finite_double = abs_bits_double(value) <= abs_bits_double(huge(value))
  end function finite_double

  pure subroutine inspect_double(model, columns, state)
    type(closura_model), intent(in) :: model
    real(real64), intent(in) :: columns(:, :)
    integer, intent(out) :: state(:)
    integer :: column

    do column = 1, size(columns, 2)
      state(column) = 0
      if (.not. all(finite_double(columns(:, column)))) then
        state(column) = closura_flag_missing
      else if (model%ranged) then
        if (any(columns(:, column) < model%lower_double) .or. &
          any(columns(:, column) > model%upper_double)) state(column) = closura_flag_outside
      end if
    end do
  end subroutine inspect_double

  pure subroutine gather_double(one, columns, state, panel)
    type(operation), intent(in) :: one
    real(real64), intent(in) :: columns(:, :)
    integer, intent(in) :: state(:)
    real(real64), intent(inout) :: panel(padded_double(one%inputs), *)
    integer :: column, row, count

    count = size(columns, 2)
    do column = 1, count
      if (iand(state(column), closura_flag_missing) /= 0) then
        panel(:, column) = 0   ! nothing is computed with NaN: hosts may trap it
      else
        do row = 1, one%inputs
          panel(row, column) = columns(one%indices(row), column)
        end do
        panel(one%inputs + 1:, column) = 0
      end if
    end do
    do column = count + 1, padded_columns(count)
      panel(:, column) = 0
    end do
  end subroutine gather_double

  pure subroutine standardise_double(one, count, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real64), intent(inout) :: panel(padded_double(one%inputs), *)
    integer :: column, rows

    rows = one%inputs
    do column = 1, count
      panel(1:rows, column) = (panel(1:rows, column) - one%first_double) * one%second_double
    end do
  end subroutine standardise_double

  pure subroutine restore_double(one, count, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real64), intent(inout) :: panel(padded_double(one%inputs), *)
    integer :: column, rows

    rows = one%inputs
    do column = 1, count
      panel(1:rows, column) = panel(1:rows, column) * one%second_double + one%first_double
    end do
  end subroutine restore_double

  pure subroutine finite_or_zero_double(one, count, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real64), intent(inout) :: panel(padded_double(one%inputs), *)
    integer :: column, row

    do column = 1, count
      do row = 1, one%inputs
        if (.not. finite_double(panel(row, column))) panel(row, column) = 0
      end do
    end do
  end subroutine finite_or_zero_double

  pure subroutine clip_double(one, count, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real64), intent(inout) :: panel(padded_double(one%inputs), *)
    integer :: column, rows

    rows = one%inputs
    do column = 1, count
      panel(1:rows, column) = min(max(panel(1:rows, column), one%first_double), one%second_double)
    end do
  end subroutine clip_double

  ! Multiply columns by less where they are new, and flag these.
  pure recursive subroutine weigh_double(one, columns, panel, state)
    type(operation), intent(in) :: one
    real(real64), intent(in) :: columns(:, :)
    real(real64), intent(inout) :: panel(padded_double(one%outputs), *)
    integer, intent(inout) :: state(:)
    real(real64) :: values(widest), weight
    integer :: column, row

    do column = 1, size(columns, 2)
      if (iand(state(column), closura_flag_missing) /= 0) cycle
      do row = 1, one%inputs
        values(row) = real(columns(one%indices(row), column), real64)
      end do
      weight = weight_of(one, values)
      if (weight < 1) state(column) = ior(state(column), closura_flag_novel)
      panel(:, column) = panel(:, column) * real(weight, real64)
    end do
  end subroutine weigh_double

  subroutine dense_double(one, count, before, after)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real64), intent(in) :: before(padded_double(one%inputs), *)
    real(real64), intent(inout) :: after(padded_double(one%outputs), *)
    integer :: columns, rows
#ifdef CLOSURA_BLAS
    integer :: column
#endif

    columns = padded_columns(count)
    rows = padded_double(one%outputs)
#ifdef CLOSURA_BLAS
    do column = 1, columns
      after(:, column) = one%first_double
    end do
    if (one%inputs > 0) call dgemm('N', 'N', rows, columns, one%inputs, 1.0_real64, &
      one%weights_double, rows, before, padded_double(one%inputs), 1.0_real64, after, rows)
#else
    call multiply_double(rows, columns, one%inputs, padded_double(one%inputs), &
      one%weights_double, one%first_double, before, after)
#endif
    call bend_double(one%activation, rows * columns, after)
  end subroutine dense_double

#ifndef CLOSURA_BLAS
  ! after = weights * before + offsets, 4 columns and one group of rows at a time.
  pure subroutine multiply_double(rows, columns, inputs, padded, weights, offsets, before, after)
    integer, intent(in) :: rows, columns, inputs, padded
    real(real64), intent(in) :: weights(rows_double, inputs, *), offsets(*), before(padded, *)
    real(real64), intent(inout) :: after(rows, *)
    real(real64), dimension(rows_double) :: a, b, c, d
    integer :: column, first, input, part, row

    do column = 1, columns, group
      do part = 1, rows / rows_double
        first = (part - 1) * rows_double + 1
        do row = 1, rows_double
          a(row) = offsets(first + row - 1)
          b(row) = offsets(first + row - 1)
          c(row) = offsets(first + row - 1)
          d(row) = offsets(first + row - 1)
        end do
        do input = 1, inputs
          do row = 1, rows_double
            a(row) = a(row) + weights(row, input, part) * before(input, column)
            b(row) = b(row) + weights(row, input, part) * before(input, column + 1)
            c(row) = c(row) + weights(row, input, part) * before(input, column + 2)
            d(row) = d(row) + weights(row, input, part) * before(input, column + 3)
          end do
        end do
        do row = 1, rows_double
          after(first + row - 1, column) = a(row)
          after(first + row - 1, column + 1) = b(row)
          after(first + row - 1, column + 2) = c(row)
          after(first + row - 1, column + 3) = d(row)
        end do
      end do
    end do
  end subroutine multiply_double
#endif

  ! Lay weights (outputs fastest) out as the kernel reads them, filled up with zeros.
  subroutine lay_out_double(one, weights, offsets, problem)
    type(operation), intent(inout) :: one
    real(real64), intent(in) :: weights(:), offsets(:)
    integer, intent(inout) :: problem
    integer :: input, output, rows, lead

    rows = padded_double(one%outputs)
#ifdef CLOSURA_BLAS
    lead = rows
#else
    lead = rows_double
#endif
    allocate(one%weights_double(lead, one%inputs, rows / lead), one%first_double(rows), stat=problem)
    if (problem /= 0) return
    one%weights_double = 0
    one%first_double = 0
    do input = 1, one%inputs
      do output = 1, one%outputs
        one%weights_double(mod(output - 1, lead) + 1, input, (output - 1) / lead + 1) = &
          real(weights((input - 1) * one%outputs + output), real64)
      end do
    end do
    one%first_double(1:one%outputs) = real(offsets, real64)
  end subroutine lay_out_double

  pure subroutine bend_double(activation, count, values)
    integer, intent(in) :: activation, count
    real(real64), intent(inout) :: values(count)
    real(real64), parameter :: half = 0.5_real64

    select case (activation)
    case (1)   ! relu
      values = max(values, 0.0_real64)
    case (2)   ! leaky relu
      values = merge(values, 0.01_real64 * values, values >= 0)
    case (3)   ! elu
      values = merge(values, exp(min(values, 0.0_real64)) - 1, values > 0)
    case (4)   ! gelu, by tanh: 0.79788 is sqrt(2 / pi)
      values = half * values * (1 + tanh(0.7978845608028653558798921198687637_real64 &
        * (values + 0.044715_real64 * values**3)))
    case (5)   ! silu; the logistic function by tanh never overflows
      values = values * half * (1 + tanh(half * values))
    case (6)   ! softplus
      values = max(values, 0.0_real64) + log(1 + exp(-abs(values)))
    case (7)   ! sigmoid
      values = half * (1 + tanh(half * values))
    case (8)
      values = tanh(values)
    end select
  end subroutine bend_double

  pure subroutine polynomial_double(one, count, before, after)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real64), intent(in) :: before(padded_double(one%inputs), *)
    real(real64), intent(inout) :: after(padded_double(one%outputs), *)
    real(real64) :: value
    integer :: column, term, input, power, place

    do column = 1, count
      after(:, column) = 0
      if (one%horner) then
        do term = one%terms, 1, -1
          place = (term - 1) * one%outputs
          after(1:one%outputs, column) = after(1:one%outputs, column) * before(1, column) &
            + one%first_double(place + 1:place + one%outputs)
        end do
        cycle
      end if
      do term = 1, one%terms
        value = 1
        do input = 1, one%inputs
          do power = 1, one%exponents(input, term)
            value = value * before(input, column)
          end do
        end do
        place = (term - 1) * one%outputs
        after(1:one%outputs, column) = after(1:one%outputs, column) &
          + value * one%first_double(place + 1:place + one%outputs)
      end do
    end do
  end subroutine polynomial_double

  ! Each tree goes over the whole block, so that its table stays in the cache; the leaves are
  ! summed in double precision.
  pure subroutine trees_double(one, count, before, leaves, after)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    real(real64), intent(in) :: before(padded_double(one%inputs), *)
    integer(int32), intent(inout) :: leaves(one%trees, *)
    real(real64), intent(inout) :: after(padded_double(one%outputs), *)
    real(real64) :: total(accumulators)
    integer :: column, tree, first, last, many, place
    integer(int32) :: here(herd), below
    logical :: moved

    do tree = 1, one%trees
      do column = 1, count, herd
        many = min(herd, padded_columns(count - column + 1))
        here(1:many) = one%indices(tree)
        do   ! these go down together: one waits for memory while another goes on
          moved = .false.
          do place = 1, many
            below = below_double(one%nodes(here(place)), before(:, column + place - 1))
            moved = moved .or. below /= here(place)
            here(place) = below
          end do
          if (.not. moved) exit
        end do
        leaves(tree, column:column + many - 1) = one%leaf(here(1:many))
      end do
    end do
    if (one%kind == op_rounds) then
      call add_rounds_double(one, count, leaves, after)
      return
    end if
    do column = 1, count
      do first = 1, one%outputs, accumulators
        last = min(first + accumulators - 1, one%outputs)
        many = last - first + 1
        total(1:many) = 0
        do tree = 1, one%trees - flock + 1, flock
          call add_leaves(many, one%values(first:last, leaves(tree, column)), &
            one%values(first:last, leaves(tree + 1, column)), &
            one%values(first:last, leaves(tree + 2, column)), &
            one%values(first:last, leaves(tree + 3, column)), &
            one%values(first:last, leaves(tree + 4, column)), &
            one%values(first:last, leaves(tree + 5, column)), &
            one%values(first:last, leaves(tree + 6, column)), &
            one%values(first:last, leaves(tree + 7, column)), total)
        end do
        do tree = one%trees - mod(one%trees, flock) + 1, one%trees
          total(1:many) = total(1:many) + one%values(first:last, leaves(tree, column))
        end do
        after(first:last, column) = real(total(1:many) / one%divisor, real64)
      end do
    end do
  end subroutine trees_double

  ! In each round one tree stands for each output.
  pure subroutine add_rounds_double(one, count, leaves, after)
    type(operation), intent(in) :: one
    integer, intent(in) :: count
    integer(int32), intent(in) :: leaves(one%trees, *)
    real(real64), intent(inout) :: after(padded_double(one%outputs), *)
    real(real64) :: total(accumulators)
    integer :: column, first, many, round, place

    do column = 1, count
      do first = 0, one%outputs - 1, accumulators
        many = min(accumulators, one%outputs - first)
        total(1:many) = 0
        do round = first, one%trees - 1, one%outputs
          do place = 1, many
            total(place) = total(place) + real(one%values(1, leaves(round + place, column)), real64)
          end do
        end do
        after(first + 1:first + many, column) = real(total(1:many) / one%divisor, real64)
      end do
    end do
  end subroutine add_rounds_double

  ! The node that a column comes to next.
  pure integer(int32) function below_double(node, values)
    type(tree_node), intent(in) :: node
    real(real64), intent(in) :: values(*)

    below_double = node%left &
      + merge(1_int32, 0_int32, narrow_double(values(node%feature)) > node%threshold)
  end function below_double

  pure subroutine add_double(one, panel, tendencies)
    type(operation), intent(in) :: one
    real(real64), intent(in) :: panel(padded_double(one%inputs), *)
    real(real64), intent(inout) :: tendencies(:, :)
    integer :: column, row

    do column = 1, size(tendencies, 2)
      do row = 1, one%inputs
        tendencies(one%indices(row), column) = tendencies(one%indices(row), column) &
          + panel(row, column)
      end do
    end do
  end subroutine add_double

  pure subroutine add_memory_double(one, memory, tendencies)
    type(operation), intent(in) :: one
    real(real64), intent(in) :: memory(:, :)
    real(real64), intent(inout) :: tendencies(:, :)
    integer :: column, row

    do column = 1, size(tendencies, 2)
      do row = 1, one%inputs
        tendencies(one%indices(row), column) = tendencies(one%indices(row), column) &
          + memory(row, column)
      end do
    end do
  end subroutine add_memory_double

  ! Give columns that are not finite what the guard says, and count them.
  pure subroutine mark_double(model, state, tendencies, missing)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: state(:)
    real(real64), intent(inout) :: tendencies(:, :)
    integer, intent(inout) :: missing
    integer :: column

    do column = 1, size(state)
      if (iand(state(column), closura_flag_missing) == 0) cycle
      missing = missing + 1
      if (model%missing == closura_zero) then
        tendencies(:, column) = 0
      else
        tendencies(:, column) = nothing_double()
      end if
    end do
  end subroutine mark_double

  ! ---- Grids, in double precision: neighbours, images and meshes of whole spheres

  ! Whole spheres, one after the other: what is missing anywhere is missing wherever it is seen.
  recursive subroutine spheres_double(model, columns, tendencies, state, work, missing, memory, flags)
    type(closura_model), intent(in) :: model
    real(real64), intent(in) :: columns(:, :)
    real(real64), intent(inout) :: tendencies(:, :), work(*)
    integer, intent(inout) :: state(:), missing
    real(real64), intent(in) :: memory(:, :)
    integer, intent(inout), optional :: flags(:)
    integer :: first, last

    do first = 1, size(columns, 2), model%together
      last = first + model%together - 1
      call inspect_double(model, columns(:, first:last), state(1:model%together))
      call spoil(model, state(1:model%together))
      tendencies(:, first:last) = 0
      if (any(iand(state(1:model%together), closura_flag_missing) == 0)) &
        call one_sphere_double(model, first - 1, columns, tendencies, state, work, memory)
      call mark_double(model, state(1:model%together), tendencies(:, first:last), missing)
      if (present(flags)) flags(first:last) = state(1:model%together)
    end do
  end subroutine spheres_double

  ! Operations on panels go block by block; where one on the whole grid follows, the panels are put
  ! down until it is done.
  recursive subroutine one_sphere_double(model, before, columns, tendencies, state, work, memory)
    type(closura_model), intent(in) :: model
    integer, intent(in) :: before
    real(real64), intent(in) :: columns(:, :)
    real(real64), intent(inout) :: tendencies(:, :), work(*)
    integer, intent(inout) :: state(:)
    real(real64), intent(in) :: memory(:, :)
    integer :: from, to, first, last, place, block
    logical :: resume

    block = block_double(model)
    resume = .false.
    from = 1
    do while (from <= size(model%operations))
      to = from - 1
      do while (to < size(model%operations))
        if (on_whole_grid(model%operations(to + 1)%kind)) exit
        to = to + 1
      end do
      !$omp parallel do private(last) schedule(static)
      do first = 1, model%together, block
        last = min(first + block - 1, model%together)
        call pass_double(model, from, to, before, before + first, before + last, columns, tendencies, &
          state(first:last), work, resume, memory)
      end do
      !$omp end parallel do
      do place = from, to
        if (model%operations(place)%kind == op_image) call go_on_double(model%operations(place), &
          work(model%slots(1)))
      end do
      do while (to < size(model%operations))
        if (.not. on_whole_grid(model%operations(to + 1)%kind)) exit
        to = to + 1
        call change_image_double(model, model%operations(to), work)
      end do
      resume = .true.
      from = to + 1
    end do
  end subroutine one_sphere_double

  subroutine change_image_double(model, one, work)
    type(closura_model), intent(in) :: model
    type(operation), intent(in) :: one
    real(real64), intent(inout) :: work(*)

    select case (one%kind)
    case (op_convolve)
      call convolve_double(one, work(model%slots(one%from)), work(model%slots(one%into)))
    case (op_coarsen)
      call coarsen_double(one%channels, one%rows, one%lines, work(model%slots(one%from)), &
        work(model%slots(3) + one%kept), work(model%slots(one%into)))
    case (op_refine)
      call refine_double(one%channels, one%beside, one%rows, one%lines, &
        work(model%slots(one%from)), work(model%slots(3) + one%kept), work(model%slots(one%into)))
    case (op_merge)
      call merge_double(one, model%together, model%held, work(model%slots(one%from)), work)
    case (op_tell)
      call tell_double(one, model%together, work(model%slots(1)), work(model%slots(2)))
    case (op_hear)
      call hear_double(one, model%operations(one%mesh), model%together, work(model%slots(2)), &
        work(model%slots(1)))
    end select
  end subroutine change_image_double

  ! Put panels down, or take them up again. A column has the same room whatever is put there:
  ! no block may write where another one has yet to read.
  pure subroutine put_down_double(rows, room, count, panel, held)
    integer, intent(in) :: rows, room, count
    real(real64), intent(in) :: panel(padded_double(rows), *)
    real(real64), intent(inout) :: held(room, *)
    integer :: column

    do column = 1, count
      held(1:rows, column) = panel(1:rows, column)
    end do
  end subroutine put_down_double

  pure subroutine take_up_double(rows, room, count, held, panel)
    integer, intent(in) :: rows, room, count
    real(real64), intent(in) :: held(room, *)
    real(real64), intent(inout) :: panel(padded_double(rows), *)
    integer :: column

    do column = 1, padded_columns(count)
      panel(rows + 1:, column) = 0
      if (column <= count) then
        panel(1:rows, column) = held(1:rows, column)
      else
        panel(1:rows, column) = 0
      end if
    end do
  end subroutine take_up_double

  ! Each column with the eight around it, then what the column alone knows.
  pure subroutine look_around_double(one, first, columns, state, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: first              ! number of the first column of the block
    real(real64), intent(in) :: columns(:, :)     ! of the whole grid
    integer, intent(in) :: state(:)
    real(real64), intent(inout) :: panel(padded_double(one%outputs), *)
    integer :: column, row, near, place, here(2)
    logical :: beyond
    real(real64) :: value

    do column = 1, size(state)
      panel(:, column) = 0
      if (iand(state(column), closura_flag_missing) /= 0) cycle
      place = 0
      do near = 0, 8
        call find_neighbour(one, first + column - 1, near, here, beyond)
        do row = 1, one%channels
          place = place + 1
          value = columns(one%indices(row), here(1))
          if (here(2) /= here(1)) value = 0.5_real64 * (value + columns(one%indices(row), here(2)))
          if (beyond) value = value * real(one%signs(row), real64)
          panel(place, column) = value
        end do
      end do
      do row = one%channels + 1, size(one%indices)
        panel(place + row - one%channels, column) = columns(one%indices(row), first + column - 1)
      end do
    end do
    do column = size(state) + 1, padded_columns(size(state))
      panel(:, column) = 0
    end do
  end subroutine look_around_double

  ! Keep a block of panels as part of an image, which has a border of one point, or of a mesh.
  pure subroutine keep_double(one, first, count, panel, image)
    type(operation), intent(in) :: one
    integer, intent(in) :: first, count
    real(real64), intent(in) :: panel(padded_double(one%inputs), *)
    real(real64), intent(inout) :: image(*)
    integer :: column
    integer(int64) :: at

    do column = 1, count
      at = one%inputs * point_of(one, first + column - 2)
      image(at + 1:at + one%inputs) = panel(1:one%inputs, column)
    end do
  end subroutine keep_double

  ! Rows after the last one, as the sphere goes on there.
  pure subroutine go_on_double(one, image)
    type(operation), intent(in) :: one
    real(real64), intent(inout) :: image(one%inputs, 0:one%lines + 1, 0:one%rows + one%extra + 1)
    integer :: row

    do row = 1, one%extra
      call cross_pole_double(one, one%inputs, &
        image(:, 1:one%lines, one%rows + 1 - row - merge(1, 0, one%poles(2))), &
        image(:, 1:one%lines, one%rows + row))
    end do
  end subroutine go_on_double

  ! A row as it follows on the other side of a pole: half-way round, vectors turned over.
  pure subroutine cross_pole_double(one, channels, row, beyond)
    type(operation), intent(in) :: one
    integer, intent(in) :: channels
    real(real64), intent(in) :: row(channels, one%lines)
    real(real64), intent(inout) :: beyond(channels, one%lines)
    integer :: line, half, other

    do line = 1, one%lines
      half = 1 + modulo(line - 1 - one%lines / 2, one%lines)
      beyond(:, line) = row(:, half)
      if (mod(one%lines, 2) == 1) then
        other = 1 + modulo(half - 2, one%lines)
        beyond(:, line) = 0.5_real64 * (row(:, half) + row(:, other))
      end if
      if (size(one%signs) > 0) beyond(:, line) = beyond(:, line) * real(one%signs, real64)
    end do
  end subroutine cross_pole_double

  ! Windows of 3 x 3 points times weights, bent. The border of the image is filled first.
  recursive subroutine convolve_double(one, image, found)
    type(operation), intent(in) :: one
    real(real64), intent(inout) :: image(*), found(*)
    integer :: row

    call surround_double(one, image)
    !$omp parallel do schedule(static)
    do row = 1, one%rows
      call convolve_row_double(one, row, image, found)
    end do
    !$omp end parallel do
  end subroutine convolve_double

  pure subroutine surround_double(one, image)
    type(operation), intent(in) :: one
    real(real64), intent(inout) :: image(one%channels, 0:one%lines + 1, 0:one%rows + 1)
    integer :: row

    call cross_pole_double(one, one%channels, &
      image(:, 1:one%lines, 1 + merge(1, 0, one%poles(1))), image(:, 1:one%lines, 0))
    call cross_pole_double(one, one%channels, &
      image(:, 1:one%lines, one%rows - merge(1, 0, one%poles(2))), image(:, 1:one%lines, one%rows + 1))
    do row = 0, one%rows + 1
      image(:, 0, row) = image(:, one%lines, row)
      image(:, one%lines + 1, row) = image(:, 1, row)
    end do
  end subroutine surround_double

  recursive subroutine convolve_row_double(one, row, image, found)
    type(operation), intent(in) :: one
    integer, intent(in) :: row
    real(real64), intent(in) :: image(*)
    real(real64), intent(inout) :: found(*)
    real(real64) :: after(buffer)
#ifdef CLOSURA_BLAS
    real(real64) :: before(buffer)
    integer :: line, column
#endif
    integer :: first, count, piece, rows, threefold
    integer(int64) :: at, stride, into

    rows = padded_double(one%outputs)
    threefold = 3 * one%channels
    stride = int(one%lines + 2, int64) * one%channels
    piece = buffer / rows
#ifdef CLOSURA_BLAS
    piece = min(piece, buffer / max(1, threefold))
#endif
    piece = max(group, piece - mod(piece, group))
    do first = 1, one%lines, piece
      count = min(piece, one%lines - first + 1)
      at = (row - 1) * stride + int(first - 1, int64) * one%channels
#ifdef CLOSURA_BLAS
      do column = 1, count
        after((column - 1) * rows + 1:column * rows) = one%first_double
      end do
      do line = 0, 2
        if (threefold == 0) exit
        do column = 0, count - 1
          before(column * threefold + 1:(column + 1) * threefold) = image(at + line * stride &
            + column * one%channels + 1:at + line * stride + column * one%channels + threefold)
        end do
        call dgemm('N', 'N', rows, count, threefold, 1.0_real64, &
          one%weights_double(1, line * threefold + 1, 1), rows, before, threefold, 1.0_real64, &
          after, rows)
      end do
#else
      call multiply_windows_double(rows, padded_columns(count), one%channels, stride, &
        one%weights_double, one%first_double, image(at + 1), after)
#endif
      call bend_double(one%activation, rows * count, after)
      into = (int(row, int64) * (one%lines + 2) + first) * one%outputs
      call put_down_double(one%outputs, one%outputs, count, after, found(into + 1))
    end do
  end subroutine convolve_row_double

#ifndef CLOSURA_BLAS
  ! The windows of points that follow each other: in each of three rows of the image a window is
  ! 3 points long and begins one point after the one before it.
  pure subroutine multiply_windows_double(rows, columns, channels, stride, weights, offsets, image, &
    after)
    integer, intent(in) :: rows, columns, channels
    integer(int64), intent(in) :: stride
    real(real64), intent(in) :: weights(rows_double, 3 * channels, 0:2, *), offsets(*), image(*)
    real(real64), intent(inout) :: after(rows, *)
    real(real64), dimension(rows_double) :: a, b, c, d
    integer :: column, first, input, line, part, row
    integer(int64) :: at, bt, ct, dt

    do part = 1, rows / rows_double
      first = (part - 1) * rows_double + 1
      do column = 1, columns, group
        do row = 1, rows_double
          a(row) = offsets(first + row - 1)
          b(row) = offsets(first + row - 1)
          c(row) = offsets(first + row - 1)
          d(row) = offsets(first + row - 1)
        end do
        do line = 0, 2
          at = line * stride + int(column - 1, int64) * channels
          bt = at + channels
          ct = bt + channels
          dt = ct + channels
          do input = 1, 3 * channels
            do row = 1, rows_double
              a(row) = a(row) + weights(row, input, line, part) * image(at + input)
              b(row) = b(row) + weights(row, input, line, part) * image(bt + input)
              c(row) = c(row) + weights(row, input, line, part) * image(ct + input)
              d(row) = d(row) + weights(row, input, line, part) * image(dt + input)
            end do
          end do
        end do
        do row = 1, rows_double
          after(first + row - 1, column) = a(row)
          after(first + row - 1, column + 1) = b(row)
          after(first + row - 1, column + 2) = c(row)
          after(first + row - 1, column + 3) = d(row)
        end do
      end do
    end do
  end subroutine multiply_windows_double
#endif

  ! The means of 2 x 2 points; the image itself is kept for the way up.
  pure subroutine coarsen_double(channels, rows, lines, image, kept, coarse)
    integer, intent(in) :: channels, rows, lines   ! of the coarse image
    real(real64), intent(in) :: image(channels, 0:2 * lines + 1, 0:2 * rows + 1)
    real(real64), intent(inout) :: kept(channels, 2 * lines, 2 * rows)
    real(real64), intent(inout) :: coarse(channels, 0:lines + 1, 0:rows + 1)
    integer :: line, row

    kept = image(:, 1:2 * lines, 1:2 * rows)
    do row = 1, rows
      do line = 1, lines
        coarse(:, line, row) = 0.25_real64 * (image(:, 2 * line - 1, 2 * row - 1) &
          + image(:, 2 * line, 2 * row - 1) + image(:, 2 * line - 1, 2 * row) &
          + image(:, 2 * line, 2 * row))
      end do
    end do
  end subroutine coarsen_double

  ! What was kept, and beside it each coarse point four times.
  pure subroutine refine_double(channels, beside, rows, lines, coarse, kept, image)
    integer, intent(in) :: channels, beside, rows, lines   ! rows and lines of the fine image
    real(real64), intent(in) :: coarse(channels, 0:lines / 2 + 1, 0:rows / 2 + 1)
    real(real64), intent(in) :: kept(beside, lines, rows)
    real(real64), intent(inout) :: image(beside + channels, 0:lines + 1, 0:rows + 1)
    integer :: line, row

    do row = 1, rows
      do line = 1, lines
        image(1:beside, line, row) = kept(:, line, row)
        image(beside + 1:, line, row) = coarse(:, (line + 1) / 2, (row + 1) / 2)
      end do
    end do
  end subroutine refine_double

  ! An image or a mesh through a matrix, added to the panels.
  recursive subroutine merge_double(one, columns, room, image, held)
    type(operation), intent(in) :: one
    integer, intent(in) :: columns, room
    real(real64), intent(in) :: image(*)
    real(real64), intent(inout) :: held(room, *)
    integer :: first, block

    block = rows_to_block_double(max(one%inputs, one%outputs))
    !$omp parallel do schedule(static)
    do first = 1, columns, block
      call merge_block_double(one, first, min(block, columns - first + 1), room, image, &
        held(1, first))
    end do
    !$omp end parallel do
  end subroutine merge_double

  recursive subroutine merge_block_double(one, first, count, room, image, held)
    type(operation), intent(in) :: one
    integer, intent(in) :: first, count, room
    real(real64), intent(in) :: image(*)
    real(real64), intent(inout) :: held(room, *)
    real(real64) :: panel(buffer, 2)
    integer :: column, at, rows

    call look_up_double(one, first, count, image, panel(:, 1))
    call dense_double(one, count, panel(:, 1), panel(:, 2))
    rows = one%outputs
    do column = 1, count
      at = (column - 1) * padded_double(rows)
      held(1:rows, column) = held(1:rows, column) + panel(at + 1:at + rows, 2)
    end do
  end subroutine merge_block_double

  ! A block of points of an image or a mesh, as a panel.
  pure subroutine look_up_double(one, first, count, image, panel)
    type(operation), intent(in) :: one
    integer, intent(in) :: first, count
    real(real64), intent(in) :: image(*)
    real(real64), intent(inout) :: panel(padded_double(one%inputs), *)
    integer :: column
    integer(int64) :: at

    do column = 1, padded_columns(count)
      panel(one%inputs + 1:, column) = 0
      if (column <= count) then
        at = one%inputs * point_of(one, first + column - 2)
        panel(1:one%inputs, column) = image(at + 1:at + one%inputs)
      else
        panel(1:one%inputs, column) = 0
      end if
    end do
  end subroutine look_up_double

  ! What every node of a mesh has to say to others and to itself: a matrix for all of it.
  recursive subroutine tell_double(one, nodes, values, table)
    type(operation), intent(in) :: one
    integer, intent(in) :: nodes
    real(real64), intent(in) :: values(*)
    real(real64), intent(inout) :: table(one%outputs, *)
    integer :: first, block

    block = rows_to_block_double(max(one%inputs, one%outputs))
    !$omp parallel do schedule(static)
    do first = 1, nodes, block
      call tell_block_double(one, first, min(block, nodes - first + 1), values, table(1, first))
    end do
    !$omp end parallel do
  end subroutine tell_double

  recursive subroutine tell_block_double(one, first, count, values, table)
    type(operation), intent(in) :: one
    integer, intent(in) :: first, count
    real(real64), intent(in) :: values(*)
    real(real64), intent(inout) :: table(one%outputs, *)
    real(real64) :: panel(buffer, 2)

    call look_up_double(one, first, count, values, panel(:, 1))
    call dense_double(one, count, panel(:, 1), panel(:, 2))
    call put_down_double(one%outputs, one%outputs, count, panel(:, 2), table)
  end subroutine tell_block_double

  ! Each node hears the mean message of its neighbours, and becomes what it makes of it.
  recursive subroutine hear_double(one, mesh, nodes, table, values)
    type(operation), intent(in) :: one, mesh
    integer, intent(in) :: nodes
    real(real64), intent(in) :: table(*)
    real(real64), intent(inout) :: values(one%outputs, *)
    integer :: first, block

    block = rows_to_block_double(one%outputs)
    !$omp parallel do schedule(static)
    do first = 1, nodes, block
      call hear_block_double(one, mesh, first, min(block, nodes - first + 1), table, values(1, first))
    end do
    !$omp end parallel do
  end subroutine hear_double

  recursive subroutine hear_block_double(one, mesh, first, count, table, values)
    type(operation), intent(in) :: one, mesh
    integer, intent(in) :: first, count
    real(real64), intent(in) :: table(one%outputs, one%parts, *)
    real(real64), intent(inout) :: values(one%outputs, *)
    real(real64) :: panel(buffer, 2), taken(widest)
    integer :: column, at, width

    width = one%outputs
    call listen_double(one, mesh, first, count, table, panel(:, 1))
    call dense_double(one, count, panel(:, 1), panel(:, 2))
    do column = 1, count
      at = (column - 1) * padded_double(width)
      taken(1:width) = table(:, one%parts, first + column - 1) + panel(at + 1:at + width, 2)
      call bend_double(one%bend, width, taken)
      if (one%residual) taken(1:width) = taken(1:width) + values(:, column)
      values(:, column) = taken(1:width)
    end do
  end subroutine hear_block_double

  ! The mean message that each node of a block hears. A message depends on the sender (its wind
  ! turned to the receiver's east and north), on the receiver, and on where the sender lies.
  pure recursive subroutine listen_double(one, mesh, first, count, table, panel)
    type(operation), intent(in) :: one, mesh
    integer, intent(in) :: first, count
    real(real64), intent(in) :: table(one%outputs, one%parts, *)
    real(real64), intent(inout) :: panel(padded_double(one%outputs), *)
    real(real64) :: message(widest), tell(6)
    integer :: column, node, sender, number, width
    integer(int64) :: edge

    width = one%outputs
    do column = 1, padded_columns(count)
      panel(:, column) = 0
      if (column > count) cycle
      node = first + column - 1
      do number = 1, mesh%neighbours
        edge = int(node - 1, int64) * mesh%neighbours + number
        sender = mesh%indices(edge)
        tell = mesh%extra_double(6 * edge - 5:6 * edge)   ! share, step (3), turn (2)
        message(1:width) = table(:, 1, sender)
        if (one%parts == 5) message(1:width) = message(1:width) + tell(5) * table(:, 2, sender) &
          + tell(6) * table(:, 3, sender)
        message(1:width) = message(1:width) * (1 + tell(2) * one%extra_double(1:width) &
          + tell(3) * one%extra_double(width + 1:2 * width) &
          + tell(4) * one%extra_double(2 * width + 1:3 * width))
        message(1:width) = message(1:width) + table(:, one%parts - 1, node) &
          + tell(2) * one%extra_double(3 * width + 1:4 * width) &
          + tell(3) * one%extra_double(4 * width + 1:5 * width) &
          + tell(4) * one%extra_double(5 * width + 1:6 * width)
        call bend_double(one%bend, width, message)
        panel(1:width, column) = panel(1:width, column) + tell(1) * message(1:width)
      end do
    end do
  end subroutine listen_double

  elemental integer(int64) function abs_bits_double(value)
    real(real64), intent(in) :: value

    abs_bits_double = ibclr(transfer(value, 1_int64), 63)
  end function abs_bits_double

  pure real(real64) function nothing_double()
    nothing_double = transfer(9221120237041090560_int64, 1.0_real64)
  end function nothing_double

  elemental real(real32) function narrow_double(value)
    real(real64), intent(in) :: value

    narrow_double = to_single(value)
  end function narrow_double

end module closura
