# make ONNXRUNTIME=/folder/of/libonnxruntime.so test    compile, repeat the recorded cases
# The Python package has it too: $(python -c "import onnxruntime as o; print(o.__path__[0])")/capi
ifeq ($(origin FC),default)
FC = gfortran
endif
FFLAGS ?= -O3 -march=native
LIBRARY = $(firstword $(wildcard $(ONNXRUNTIME)/libonnxruntime.so*))

test: driver
	./driver @NAME@.closura cases.bin

driver: closura_onnx.F90 closura.F90 driver.f90 | libonnxruntime.so.1
	$(FC) $(FFLAGS) -DCLOSURA_ONNX closura_onnx.F90 closura.F90 driver.f90 -o $@ \
	  libonnxruntime.so.1 -Wl,-rpath,'$$ORIGIN'

# The library asks to be found under this name, which the Python package does not give it.
libonnxruntime.so.1:
	@test -n "$(ONNXRUNTIME)" -a -n "$(LIBRARY)" || { echo \
	  "no libonnxruntime.so in '$(ONNXRUNTIME)'; call make ONNXRUNTIME=/folder/of/libonnxruntime.so test" >&2; exit 1; }
	ln -sf "$(LIBRARY)" $@

clean:
	rm -f driver libonnxruntime.so.1 *.o *.mod

.PHONY: test clean
