//! A job that this process is in, so that everything it starts is, from its first moment.
#![expect(unsafe_code, reason = "job objects have no safe interface")]

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::ptr;

use windows_sys::Win32::System::Console::SetConsoleCtrlHandler;
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation,
    SetInformationJobObject,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

/// Makes a job that ends its processes when its last handle is closed, and enters it. The handle
/// that is returned is the only one: the system closes it when this process ends, however it ends.
pub(super) fn enter() -> io::Result<OwnedHandle> {
    // SAFETY: no attributes and no name are null pointers; what is returned is checked and owned.
    let job = unsafe {
        let job = CreateJobObjectW(ptr::null(), ptr::null());
        if job.is_null() {
            return Err(io::Error::last_os_error());
        }
        OwnedHandle::from_raw_handle(job)
    };
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    let size = u32::try_from(size_of_val(&limits)).map_err(io::Error::other)?;
    // SAFETY: the handle is open, and the structure is of the class and the size that are named.
    unsafe {
        checked(SetInformationJobObject(
            job.as_raw_handle(),
            JobObjectExtendedLimitInformation,
            ptr::from_ref(&limits).cast::<c_void>(),
            size,
        ))?;
        checked(AssignProcessToJobObject(job.as_raw_handle(), GetCurrentProcess()))?;
        // Ctrl-C goes to every process of the console: the program decides what it means.
        checked(SetConsoleCtrlHandler(Some(leave_it_to_the_program), 1))?;
    }
    Ok(job)
}

unsafe extern "system" fn leave_it_to_the_program(_event: u32) -> i32 {
    1
}

fn checked(done: i32) -> io::Result<()> {
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
