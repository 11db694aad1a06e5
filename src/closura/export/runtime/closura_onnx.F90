! closura_onnx.F90: hands columns to ONNX Runtime, for closura.F90 compiled with -DCLOSURA_ONNX.
!
! Fortran 2008, no C: the functions of ONNX Runtime stand in a table, whose order never changes
! (new ones are appended), so a function is known by its number. Any libonnxruntime since 1.12 does.
module closura_onnxruntime
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int32, int64, real32, real64
  implicit none
  private

  public :: onnx_session, onnx_open, onnx_close, onnx_run

  integer, parameter, public :: onnx_no_memory = -2   ! a code: there was no room for a copy of the columns

  integer(c_int32_t), parameter :: wanted_version = 12     ! of the table: that of ONNX Runtime 1.12
  integer, parameter :: slots = 101                        ! numbers below, from 0
  integer, parameter :: get_error_code = 1, create_env = 3, create_session_from_array = 8, run = 9, &
    create_session_options = 10, set_threads = 24, create_tensor = 49, create_memory_info = 69, &
    release_env = 92, release_status = 93, release_memory_info = 94, release_session = 95, &
    release_value = 96, release_options = 100
  integer(c_int), parameter :: type_float = 1, type_double = 11, only_errors = 3, arena = 1
  character(kind=c_char), target, save :: name_columns(8) = &
    ['c', 'o', 'l', 'u', 'm', 'n', 's', c_null_char]
  character(kind=c_char), target, save :: name_tendencies(11) = &
    ['t', 'e', 'n', 'd', 'e', 'n', 'c', 'i', 'e', 's', c_null_char]

  ! A graph that is ready to run; any number of threads may run it at once.
  type :: onnx_session
    private
    integer :: inputs = 0, outputs = 0
    logical :: double = .false.
    type(c_funptr) :: table(0:slots - 1) = c_null_funptr
    type(c_ptr) :: env = c_null_ptr, session = c_null_ptr, memory = c_null_ptr
  end type onnx_session

  ! What GetApiBase points to.
  type, bind(c) :: api_base
    type(c_funptr) :: get_api, get_version
  end type api_base

  interface
    function get_api_base() bind(c, name='OrtGetApiBase') result(base)
      import :: c_ptr
      type(c_ptr) :: base
    end function get_api_base
  end interface

  abstract interface
    function get_api_type(version) bind(c) result(table)
      import :: c_ptr, c_int32_t
      integer(c_int32_t), value :: version
      type(c_ptr) :: table
    end function get_api_type
    function code_type(status) bind(c) result(code)
      import :: c_ptr, c_int
      type(c_ptr), value :: status
      integer(c_int) :: code
    end function code_type
    function env_type(level, name, env) bind(c) result(status)
      import :: c_ptr, c_int, c_char
      integer(c_int), value :: level
      character(kind=c_char), intent(in) :: name(*)
      type(c_ptr), intent(out) :: env
      type(c_ptr) :: status
    end function env_type
    function new_type(made) bind(c) result(status)
      import :: c_ptr
      type(c_ptr), intent(out) :: made
      type(c_ptr) :: status
    end function new_type
    function threads_type(options, count) bind(c) result(status)
      import :: c_ptr, c_int
      type(c_ptr), value :: options
      integer(c_int), value :: count
      type(c_ptr) :: status
    end function threads_type
    function session_type(env, content, bytes, options, session) bind(c) result(status)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: env, content, options
      integer(c_size_t), value :: bytes
      type(c_ptr), intent(out) :: session
      type(c_ptr) :: status
    end function session_type
    function info_type(allocator, kind, info) bind(c) result(status)
      import :: c_ptr, c_int
      integer(c_int), value :: allocator, kind
      type(c_ptr), intent(out) :: info
      type(c_ptr) :: status
    end function info_type
    function tensor_type(info, values, bytes, shape, dimensions, kind, tensor) bind(c) &
      result(status)
      import :: c_ptr, c_size_t, c_int64_t, c_int
      type(c_ptr), value :: info, values
      integer(c_size_t), value :: bytes, dimensions
      integer(c_int64_t), intent(in) :: shape(*)
      integer(c_int), value :: kind
      type(c_ptr), intent(out) :: tensor
      type(c_ptr) :: status
    end function tensor_type
    function run_type(session, options, input_names, inputs, input_count, output_names, &
      output_count, outputs) bind(c) result(status)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: session, options
      type(c_ptr), intent(in) :: input_names(*), inputs(*), output_names(*)
      integer(c_size_t), value :: input_count, output_count
      type(c_ptr), intent(inout) :: outputs(*)
      type(c_ptr) :: status
    end function run_type
    subroutine release_type(what) bind(c)
      import :: c_ptr
      type(c_ptr), value :: what
    end subroutine release_type
  end interface

  ! Columns (inputs, columns) to tendencies (outputs, columns), in single or double precision.
  interface onnx_run
    module procedure run_single, run_double
  end interface onnx_run

contains

  ! Make a session of the words of an ONNX model. The code is 0, or what ONNX Runtime says.
  subroutine onnx_open(session, words, bytes, inputs, outputs, double, code)
    type(onnx_session), intent(out) :: session
    integer(int32), intent(in), target :: words(:)
    integer, intent(in) :: bytes, inputs, outputs
    logical, intent(in) :: double      ! whether the graph is one of float64
    integer, intent(out) :: code
    procedure(get_api_type), pointer :: get_api
    procedure(env_type), pointer :: new_env
    procedure(info_type), pointer :: new_info
    type(api_base), pointer :: base
    type(c_funptr), pointer :: table(:)
    type(c_ptr) :: found

    session%inputs = inputs
    session%outputs = outputs
    session%double = double
    code = -1
    call c_f_pointer(get_api_base(), base)
    call c_f_procpointer(base%get_api, get_api)
    found = get_api(wanted_version)
    if (.not. c_associated(found)) return    ! older than 1.12
    call c_f_pointer(found, table, [slots])
    session%table = table
    call c_f_procpointer(session%table(create_env), new_env)
    code = code_of(session, new_env(only_errors, ['c', c_null_char], session%env))
    if (code /= 0) return
    call c_f_procpointer(session%table(create_memory_info), new_info)
    code = code_of(session, new_info(arena, 0_c_int, session%memory))
    if (code == 0) call new_session(session, words, bytes, code)
    if (code /= 0) call onnx_close(session)
  end subroutine onnx_open

  subroutine new_session(session, words, bytes, code)
    type(onnx_session), intent(inout) :: session
    integer(int32), intent(in), target :: words(:)
    integer, intent(in) :: bytes
    integer, intent(out) :: code
    procedure(new_type), pointer :: new_options
    procedure(threads_type), pointer :: choose_threads
    procedure(session_type), pointer :: make
    type(c_ptr) :: options

    call c_f_procpointer(session%table(create_session_options), new_options)
    call c_f_procpointer(session%table(set_threads), choose_threads)
    call c_f_procpointer(session%table(create_session_from_array), make)
    code = code_of(session, new_options(options))
    if (code /= 0) return
    code = code_of(session, choose_threads(options, 1_c_int))   ! hosts have threads of their own
    if (code == 0) code = code_of(session, make(session%env, c_loc(words), &
      int(bytes, c_size_t), options, session%session))
    call release(session, release_options, options)
  end subroutine new_session

  ! Give back what a session holds; closing twice does no harm.
  subroutine onnx_close(session)
    type(onnx_session), intent(inout) :: session

    call release(session, release_session, session%session)
    call release(session, release_memory_info, session%memory)
    call release(session, release_env, session%env)
  end subroutine onnx_close

  recursive subroutine run_single(session, count, columns, tendencies, code)
    type(onnx_session), intent(in) :: session
    integer, intent(in) :: count
    real(real32), intent(in), target :: columns(session%inputs, count)
    real(real32), intent(inout), target :: tendencies(session%outputs, count)
    integer, intent(out) :: code
    real(real64), allocatable, target :: given(:, :), found(:, :)

    if (.not. session%double) then
      call run_pointers(session, count, 4, c_loc(columns), c_loc(tendencies), code)
      return
    end if
    allocate(given(session%inputs, count), found(session%outputs, count), stat=code)
    if (code /= 0) then
      code = onnx_no_memory
      return
    end if
    given = real(columns, real64)
    call run_pointers(session, count, 8, c_loc(given), c_loc(found), code)
    tendencies = real(found, real32)
  end subroutine run_single

  recursive subroutine run_double(session, count, columns, tendencies, code)
    type(onnx_session), intent(in) :: session
    integer, intent(in) :: count
    real(real64), intent(in), target :: columns(session%inputs, count)
    real(real64), intent(inout), target :: tendencies(session%outputs, count)
    integer, intent(out) :: code
    real(real32), allocatable, target :: given(:, :), found(:, :)

    if (session%double) then
      call run_pointers(session, count, 8, c_loc(columns), c_loc(tendencies), code)
      return
    end if
    allocate(given(session%inputs, count), found(session%outputs, count), stat=code)
    if (code /= 0) then
      code = onnx_no_memory
      return
    end if
    given = real(columns, real32)
    call run_pointers(session, count, 4, c_loc(given), c_loc(found), code)
    tendencies = real(found, real64)
  end subroutine run_double

  ! Fortran's (values, columns) are the bytes of ONNX's (columns, values): nothing is copied.
  subroutine run_pointers(session, count, bytes, columns, tendencies, code)
    type(onnx_session), intent(in) :: session
    integer, intent(in) :: count, bytes
    type(c_ptr), intent(in) :: columns, tendencies
    integer, intent(out) :: code
    procedure(run_type), pointer :: run_it
    type(c_ptr) :: given(1), found(1)

    call new_tensor(session, session%inputs, count, bytes, columns, given(1), code)
    if (code /= 0) return
    call new_tensor(session, session%outputs, count, bytes, tendencies, found(1), code)
    if (code == 0) then
      call c_f_procpointer(session%table(run), run_it)
      code = code_of(session, run_it(session%session, c_null_ptr, [c_loc(name_columns)], given, &
        1_c_size_t, [c_loc(name_tendencies)], 1_c_size_t, found))
      call release(session, release_value, found(1))
    end if
    call release(session, release_value, given(1))
  end subroutine run_pointers

  subroutine new_tensor(session, rows, count, bytes, values, tensor, code)
    type(onnx_session), intent(in) :: session
    integer, intent(in) :: rows, count, bytes
    type(c_ptr), intent(in) :: values
    type(c_ptr), intent(out) :: tensor
    integer, intent(out) :: code
    procedure(tensor_type), pointer :: make

    call c_f_procpointer(session%table(create_tensor), make)
    code = code_of(session, make(session%memory, values, &
      int(bytes, c_size_t) * rows * count, int([count, rows], c_int64_t), 2_c_size_t, &
      merge(type_double, type_float, bytes == 8), tensor))
  end subroutine new_tensor

  ! The code of a status, which is given back; 0 where there is none.
  integer function code_of(session, status)
    type(onnx_session), intent(in) :: session
    type(c_ptr), intent(in) :: status
    procedure(code_type), pointer :: get_code
    type(c_ptr) :: told

    code_of = 0
    if (.not. c_associated(status)) return
    call c_f_procpointer(session%table(get_error_code), get_code)
    code_of = max(1, int(get_code(status)))
    told = status
    call release(session, release_status, told)
  end function code_of

  subroutine release(session, slot, what)
    type(onnx_session), intent(in) :: session
    integer, intent(in) :: slot
    type(c_ptr), intent(inout) :: what
    procedure(release_type), pointer :: give_back

    if (.not. c_associated(what)) return
    call c_f_procpointer(session%table(slot), give_back)
    call give_back(what)
    what = c_null_ptr
  end subroutine release
end module closura_onnxruntime
