# make test    compile, repeat the recorded cases, fail where a difference is too large
ifeq ($(origin FC),default)
FC = gfortran
endif
FFLAGS ?= -O2

test: driver
	./driver @NAME@.f90 cases.bin

driver: @NAME@.f90 driver.f90
	$(FC) $(FFLAGS) @NAME@.f90 driver.f90 -o $@

clean:
	rm -f driver *.o *.mod

.PHONY: test clean
